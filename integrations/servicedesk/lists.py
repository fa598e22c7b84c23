"""The lists of a desk, page by page, and the mails of a ticket.

Fields and criteria are those of public clients of both editions (docs/dev/outside.md).
"""

import math
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from config.tenants import DeskSettings
from integrations.errors import DeskRefused
from integrations.servicedesk.answers import DeskAnswer, checked
from integrations.servicedesk.calls import DeskCalls
from integrations.servicedesk.contents import (
    ListedSolution,
    ListedTicket,
    ListPage,
    has_more,
    items_of,
    listed_solution_of,
    listed_ticket_of,
    moment_of,
)
from retrieval.cleaning import lines_of, unwrapped

_MOST_ROWS = 100
# After this the additional fields are requested again: the refusal may have had another cause.
_PLAIN_SECONDS = 3600.0
_MOST_PAGES_OF_MAILS = 5
_CHANGED = "last_updated_time"
_LONGEST_TEXT, _LONGEST_MAIL = 50_000, 5_000
LONG_AGO = datetime.min.replace(tzinfo=UTC)
# The last three are not in every edition's list unless requested.
_FIELDS = ["subject", "status", "group", "template", "created_time", "site", "category", _CHANGED]


class DeskLists:
    """The list calls of a desk. Raises as `ServiceDeskPlus` does."""

    def __init__(self, calls: DeskCalls, desk: DeskSettings, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._calls = calls
        self._fields = [*_FIELDS, *(["display_id"] if desk.edition == "cloud" else [])]
        self._plain_until = -math.inf
        self._monotonic = monotonic

    async def tickets(self, start: int = 1, *, changed_since: datetime | None = None) -> ListPage[ListedTicket]:
        """Return up to 100 tickets from the `start`-th on, without texts, newest first.

        With `changed_since`, only tickets changed after that, by the desk's clock, in that order. A desk may ignore the
        order, and omit requested fields or lack them: the caller must check the items.
        """
        wanted: dict[str, Any] = {"row_count": _MOST_ROWS, "start_index": start}
        if changed_since is None:
            wanted |= {"sort_field": "created_time", "sort_order": "desc"}
        else:
            after = str(round(changed_since.timestamp() * 1000))
            criterion = {"field": _CHANGED, "condition": "greater than", "value": after}
            wanted |= {"sort_field": _CHANGED, "sort_order": "asc", "search_criteria": criterion}
        asks = self._monotonic() >= self._plain_until
        listed = await self._list_with(wanted) if asks else await self._list(wanted)
        tickets = [listed_ticket_of(item) for item in items_of(listed, "requests")]
        return ListPage(list({ticket.ticket_id: ticket for ticket in tickets}.values()), has_more(listed))

    async def _list(self, wanted: dict[str, Any]) -> DeskAnswer:
        return checked(await self._calls.make("GET", "/requests", {"list_info": wanted}))

    async def _list_with(self, wanted: dict[str, Any]) -> DeskAnswer:
        try:
            return await self._list({**wanted, "fields_required": self._fields})
        except DeskRefused:
            listed = await self._list(wanted)
            self._plain_until = self._monotonic() + _PLAIN_SECONDS
            return listed

    async def solutions(self, start: int = 1) -> ListPage[ListedSolution]:
        """Return up to 100 approved solutions from the `start`-th on, without texts.

        Raises DeskRefused if the permission for solutions is missing, under any status.
        """
        wanted = {"row_count": _MOST_ROWS, "start_index": start, "filter_by": {"name": "ApprovedSolutions"}}
        listed = checked(await self._calls.make("GET", "/solutions", {"list_info": wanted}, own_right=True))
        solutions = [listed_solution_of(item) for item in items_of(listed, "solutions")]
        return ListPage(list({one.solution_id: one for one in solutions}.values()), has_more(listed))

    async def mails(self, ticket_id: str) -> list[tuple[str, datetime]]:
        """Return ids and times of up to 500 mails of a ticket, oldest first.

        A mail without a time gets `LONG_AGO`.
        """
        found: dict[str, datetime] = {}
        for page in range(_MOST_PAGES_OF_MAILS):
            wanted = {"list_info": {"row_count": _MOST_ROWS, "start_index": page * _MOST_ROWS + 1}}
            path = f"/requests/{ticket_id}/conversations"
            answer = checked(await self._calls.make("GET", path, wanted, who=ticket_id, begun=False), ticket_id)
            known = len(found)
            found |= _mails_of(answer)
            if not has_more(answer) or len(found) == known:
                break
        return sorted(found.items(), key=lambda mail: mail[1])

    async def mail(self, ticket_id: str, mail_id: str) -> str:
        """Return the text of a mail; empty if it does not exist, as for other items."""
        path = f"/requests/{ticket_id}/notifications/{mail_id}"
        answer = await self._calls.make("GET", path, who=ticket_id, begun=False)
        return "" if answer.not_found else _mail_text(checked(answer).body.get("notification"))


def _mails_of(answer: DeskAnswer) -> dict[str, datetime]:
    found = [item for item in items_of(answer, "conversations") if str(item.get("type")).upper() != "NOTES"]
    sent = {str(item["id"]): moment_of(item.get("sent_time") or item.get("created_time")) for item in found}
    return {mail: at or LONG_AGO for mail, at in sent.items()}


def _mail_text(body: Any) -> str:
    text = str(body.get("description") or "") if isinstance(body, dict) else ""
    return unwrapped(lines_of(text)[:_LONGEST_TEXT])[:_LONGEST_MAIL]
