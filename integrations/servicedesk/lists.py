"""The lists of a desk, page by page: what a copy of it begins with.

Fields and criteria are those that public clients of both editions ask for (docs/dev/outside.md).
"""

from datetime import datetime
from typing import Any

from config.tenants import DeskSettings
from integrations.errors import DeskRefused
from integrations.servicedesk.answers import DeskAnswer
from integrations.servicedesk.calls import DeskCalls, checked
from integrations.servicedesk.contents import (
    ListedSolution,
    ListedTicket,
    ListPage,
    has_more,
    items_of,
    listed_solution_of,
    listed_ticket_of,
)

_MOST_ROWS = 100
_CHANGED = "last_updated_time"
# The last three are in no list that is not asked for them, or not in those of each edition.
_FIELDS = ["subject", "status", "group", "template", "created_time", "site", "category", _CHANGED]


class DeskLists:
    """Raises what `ServiceDeskPlus` does."""

    def __init__(self, calls: DeskCalls, desk: DeskSettings) -> None:
        self._calls = calls
        self._fields = [*_FIELDS, *(["display_id"] if desk.edition == "cloud" else [])]
        self._tells_fields = True

    async def tickets(self, start: int = 1, *, changed_since: datetime | None = None) -> ListPage[ListedTicket]:
        """Return the tickets from the `start`-th on, a hundred at most, without their texts: newest first.

        With `changed_since`, only those that were changed after that, by the desk's clock, in the order of it. A desk
        may list them in any order, and leave out, or not know, what it is asked for: who calls looks at what comes.
        """
        wanted: dict[str, Any] = {"row_count": _MOST_ROWS, "start_index": start}
        if changed_since is None:
            wanted |= {"sort_field": "created_time", "sort_order": "desc"}
        else:
            after = str(round(changed_since.timestamp() * 1000))
            criterion = {"field": _CHANGED, "condition": "greater than", "value": after}
            wanted |= {"sort_field": _CHANGED, "sort_order": "asc", "search_criteria": criterion}
        listed = await self._list_with(wanted) if self._tells_fields else await self._list(wanted)
        tickets = [listed_ticket_of(item) for item in items_of(listed, "requests")]
        return ListPage(list({ticket.ticket_id: ticket for ticket in tickets}.values()), has_more(listed))

    async def _list(self, wanted: dict[str, Any]) -> DeskAnswer:
        return checked(await self._calls.make("GET", "/requests", {"list_info": wanted}))

    async def _list_with(self, wanted: dict[str, Any]) -> DeskAnswer:
        """List what a list does not tell by itself as well; of a desk that refuses that, what it does."""
        try:
            return await self._list({**wanted, "fields_required": self._fields})
        except DeskRefused:
            listed = await self._list(wanted)
            self._tells_fields = False
            return listed

    async def solutions(self, start: int = 1) -> ListPage[ListedSolution]:
        """Return the approved solutions from the `start`-th on, a hundred at most, without their texts.

        Raises DeskRefused where the right to see solutions is missing, whatever the status.
        """
        wanted = {"row_count": _MOST_ROWS, "start_index": start, "filter_by": {"name": "ApprovedSolutions"}}
        listed = checked(await self._calls.make("GET", "/solutions", {"list_info": wanted}, own_right=True))
        solutions = [listed_solution_of(item) for item in items_of(listed, "solutions")]
        return ListPage(list({one.solution_id: one for one in solutions}.values()), has_more(listed))
