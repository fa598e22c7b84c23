"""Reading of new or changed items one by one, latest change first."""

from collections import deque

from housekeeping.alone import alone, is_its_own
from housekeeping.desk_copy import UNSEEN_HOURS, DeskCopy, Source
from integrations.errors import OutsideFailure
from observability.identifiers import bound
from storage import listings

# More consecutive refusals end the reading.
_MOST_FAILED_IN_A_ROW = 3
_ASKED_FOR = 100
_NAMES = {"t": "ticket_id", "p": "solution_id"}


class Reading:
    """The reading of one source in one sync."""

    def __init__(self, copy: DeskCopy, source: Source) -> None:
        self._copy = copy
        self._source = source
        self._failed_in_a_row = 0
        self._next: deque[str] = deque()

    async def some(self, most: int) -> int:
        """Read at most `most` items; return how many there were.

        0 also after several consecutive refusals. A failure of one item is logged, and the item is read again later:
        after a day if the desk refuses it. Raises HeldBack, HeldByAnother, one of DATABASE_FAILURES, or the desk's
        failure after several in a row.
        """
        copy, collection = self._copy, self._source.collection
        if self._failed_in_a_row > _MOST_FAILED_IN_A_ROW:
            return 0
        if not self._next:
            # Many at once: rows just read precede them in the index until a vacuum.
            self._next.extend(await listings.next_to_read(copy.database, copy.tenant_id, collection, _ASKED_FOR))
        items = [self._next.popleft() for _ in range(min(most, len(self._next)))]
        for item_id in items:
            with bound(**{_NAMES[collection]: item_id}):
                was_given, failure = await self._read(item_id)
            if was_given:
                self._failed_in_a_row = 0
                continue
            if failure is None:
                continue
            self._failed_in_a_row += 1
            if self._failed_in_a_row > _MOST_FAILED_IN_A_ROW:
                if not is_its_own(failure):
                    raise failure
                copy.gave_up = failure
                return 0
        return len(items)

    async def _read(self, item_id: str) -> tuple[bool, OutsideFailure | None]:
        """Read one item; a failing one is put off, so that the others have their turn.

        Return whether the desk returned it, and the desk's failure.
        """
        copy, collection = self._copy, self._source.collection
        was_given, failure = await alone(copy.tenant_id, self._source.read(item_id))
        copy.given += was_given
        if was_given:
            return True, None
        is_refused = failure is not None and is_its_own(failure)
        hours = UNSEEN_HOURS if is_refused else 1
        await listings.put_off(copy.database, copy.tenant_id, collection, item_id, hours=hours)
        if is_refused:
            copy.refused += 1
            await self._source.hide(item_id)
        return False, failure
