"""Client of ServiceDesk Plus, API v3: tickets, solutions and notes.

Bodies are form-encoded, `input_data=<JSON>`; ids are strings. One object serves one tenant and sends that tenant's
credentials to that tenant's desk only.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any

import httpx2

from config.tenants import DeskSettings, Tenant
from integrations.errors import (
    DeskRefused,
    DeskUnavailable,
    TicketClosed,
    TicketNotFound,
)
from integrations.servicedesk.answers import DeskAnswer, checked
from integrations.servicedesk.calls import DeskCalls, Limits
from integrations.servicedesk.contents import (
    Solution,
    is_closed,
    is_number,
    is_trashed,
    items_of,
    plain_text,
    solution_of,
    ticket_of,
)
from integrations.servicedesk.conversation import read_conversation
from integrations.servicedesk.lists import DeskLists
from integrations.servicedesk.notes import NOTE_KEYS, DeskNotes
from integrations.servicedesk.pages import page_of
from integrations.servicedesk.tokens import DeskTokens
from integrations.values import DeskTicket

_MOST_ROWS = 100
# Cloud ids have 18 digits (docs/dev/outside.md). No desk has so many tickets that a number reaches this length.
_SHORTEST_CLOUD_ID = 12


class ServiceDeskPlus:
    """One tenant's desk.

    Each method raises DeskTimeout, DeskUnavailable or DeskRefused; methods about one ticket also TicketNotFound.
    HeldBack, before anything is sent, while the desk is down, busy, or over its rate.
    """

    def __init__(
        self,
        tenant: Tenant,
        http: httpx2.AsyncClient,
        tokens: DeskTokens,
        timeout_seconds: float,
        limits: Limits,
    ) -> None:
        if tenant.desk is None:
            raise DeskRefused("no desk configured")
        self._desk: DeskSettings = tenant.desk
        self._calls = DeskCalls(tenant.id, tenant.desk, http, tokens, timeout_seconds, limits)
        self._note_key = NOTE_KEYS[self._desk.edition == "cloud"]
        self.lists = DeskLists(self._calls, self._desk)
        self._notes = DeskNotes(self._calls)

    @property
    def wants_failure_note(self) -> bool:
        return self._desk.failure_note

    def link_to(self, ticket_id: str) -> str:
        """Return the ticket's browser URL; empty for an on-premises portal with a path."""
        return page_of(self._desk, ticket_id)

    async def id_of(self, number: str) -> str:
        """Return the desk's id for a ticket's number, calling only if it may differ.

        That is a cloud desk's display number. An id is recognized by its length, because a call for each webhook that
        named an id would cost a third of the desk's rate. Raises TicketNotFound if no ticket has the number;
        DeskUnavailable if the answer is another ticket, because the note would be added to a wrong ticket.
        """
        if self._desk.edition != "cloud" or not is_number(number) or len(number) >= _SHORTEST_CLOUD_ID:
            return number
        criterion = {"field": "display_id", "condition": "is", "value": number}
        wanted = {"list_info": {"row_count": 1, "search_criteria": criterion}}
        found = items_of(
            checked(await self._calls.make("GET", "/requests", wanted, who=number, begun=False)), "requests"
        )
        if not found:
            raise TicketNotFound(number)
        desk_id = str(found[0]["id"])
        if len(found) > 1 or str(found[0].get("display_id")) != number or not is_number(desk_id):
            raise DeskUnavailable("invalid answer")
        return desk_id

    async def read_ticket(self, ticket_id: str) -> DeskTicket:
        """Return the ticket, closed or not. Raises TicketTrashed."""
        body = (await self._of_ticket(ticket_id, "GET", "")).body.get("request")
        return ticket_of(body, self._desk.closed_statuses)

    async def read_open_ticket(self, ticket_id: str, *, begun: bool = True) -> DeskTicket:
        """Return the ticket. Raises TicketClosed, and TicketTrashed.

        `begun`: the desk was called for this job before, so it precedes jobs that wait for their first call.
        """
        body = (await self._of_ticket(ticket_id, "GET", "", begun=begun)).body.get("request")
        if isinstance(body, dict) and not is_trashed(body) and is_closed(body, self._desk.closed_statuses):
            raise TicketClosed
        return ticket_of(body)

    def check_notes(self, *, answered: bool) -> None:
        self._calls.check_notes(answered=answered)

    async def add_note(
        self, ticket_id: str, description: str, about_to_post: Callable[[], Awaitable[None]] | None = None
    ) -> str:
        """Add a note (HTML) to the ticket, for technicians only, and return its id.

        `about_to_post` is awaited right before each call: there is a second one, with the other edition's key, if the
        first was refused for its key. After HeldBack nothing was posted, though it may have been awaited. After
        DeskTimeout or DeskUnavailable with `outcome_unknown` the note may be in the ticket: check with `find_note`.
        """
        note: dict[str, Any] = {
            "description": description,
            "show_to_requester": False,
            "mark_first_response": False,
            "add_to_linked_requests": False,
        }
        key = self._note_key
        answer = await self._post_note(ticket_id, key, note, about_to_post)
        if answer.names_extra_key:
            # The other edition's key: nothing was done, so this does not post twice.
            key = self._note_key = next(other for other in NOTE_KEYS if other != key)
            answer = await self._post_note(ticket_id, key, note, about_to_post)
        created = checked(answer, ticket_id).body
        for name in NOTE_KEYS:
            if isinstance(created.get(name), dict):
                return str(created[name].get("id", ""))
        raise DeskUnavailable("invalid answer", outcome_unknown=True)

    async def _post_note(
        self, ticket_id: str, key: str, note: dict[str, Any], about_to_post: Callable[[], Awaitable[None]] | None
    ) -> DeskAnswer:
        extra = {"notify_technician": False} if self._desk.edition == "cloud" else {}
        path, body = f"/requests/{ticket_id}/notes", {key: note | extra}
        return await self._calls.make("POST", path, body, about_to_post, who=ticket_id)

    async def find_note(
        self,
        ticket_id: str,
        is_ours: Callable[[str], bool],
        since: datetime | None = None,
        *,
        unread: Sequence[str] | None = None,
        on_held_back: Callable[[list[str]], Awaitable[None]] | None = None,
    ) -> str | None:
        """Return the id of the newest note whose plain text `is_ours`, or None.

        Lists have no texts: each note is read if it was written after `since` or up to a quarter of an hour before (the
        desk has a clock of its own), and the newest three in any case. A search that is held back between two calls
        passes its unread notes to `on_held_back`; a later search continues with them as `unread`. Raises
        DeskUnavailable if the answer does not list the notes, since None lets a note be posted.
        """
        look = self._notes.find(ticket_id, is_ours, since, unread=unread, on_held_back=on_held_back)
        return await look

    async def has_note(self, ticket_id: str, note_id: str, is_ours: Callable[[str], bool]) -> bool:
        """Return True if the note's plain text `is_ours`; one call."""
        return is_ours(plain_text(await self._notes.text(ticket_id, note_id)))

    async def read_conversation(self, ticket: DeskTicket, is_ours: Callable[[str], bool]) -> list[str]:
        """Return the last mails and notes of a ticket, oldest first, each by one call.

        Empty if the desk reports none. Notes whose plain text `is_ours` are left out.
        """
        return await read_conversation(ticket, self.lists, self._notes, is_ours)

    async def read_solution(self, solution_id: str) -> Solution | None:
        """Return one solution in full; None if it was deleted since it was listed."""
        answer = await self._calls.make("GET", f"/solutions/{solution_id}", own_right=True)
        if answer.not_found:
            return None
        return solution_of(solution_id, checked(answer).body.get("solution"))

    async def _of_ticket(
        self, ticket_id: str, method: str, rest: str, data: dict[str, Any] | None = None, *, begun: bool = True
    ) -> DeskAnswer:
        answer = await self._calls.make(method, f"/requests/{ticket_id}{rest}", data, who=ticket_id, begun=begun)
        return checked(answer, ticket_id)
