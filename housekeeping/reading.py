"""Reading what a desk's lists have shown to be new or changed, one by one, what changed last first."""

from housekeeping.alone import alone
from housekeeping.desk_copy import UNSEEN_HOURS, DeskCopy, Source
from observability.identifiers import bound
from storage import listings

# More in a row that the desk does not give end the reading.
_MOST_REFUSED_IN_A_ROW = 3
_NAMES = {"t": "ticket_id", "p": "solution_id"}


class Reading:
    """The reading of one source in one sync."""

    def __init__(self, copy: DeskCopy, source: Source) -> None:
        self._copy = copy
        self._source = source
        self._refused_in_a_row = 0

    async def some(self, most: int) -> int:
        """Read so many at most; how many there were, 0 as well once the desk has refused several in a row.

        What is wrong with one is a line, and it is read again later: after a day where the desk refuses it.
        Raises what concerns the desk or the database as a whole.
        """
        copy, collection = self._copy, self._source.collection
        if self._refused_in_a_row > _MOST_REFUSED_IN_A_ROW:
            return 0
        items = await listings.next_to_read(copy.database, copy.tenant_id, collection, most)
        for item_id in items:
            with bound(**{_NAMES[collection]: item_id}):
                was_given, refusal = await alone(copy.tenant_id, self._source.read(item_id))
            copy.given += was_given
            if was_given:
                self._refused_in_a_row = 0
                continue
            hours = UNSEEN_HOURS if refusal is not None else 1
            await listings.put_off(copy.database, copy.tenant_id, collection, item_id, hours=hours)
            if refusal is None:
                continue
            await self._source.hide(item_id)
            self._refused_in_a_row += 1
            if self._refused_in_a_row > _MOST_REFUSED_IN_A_ROW:
                copy.gave_up = refusal
                return 0
        return len(items)
