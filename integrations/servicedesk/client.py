"""ServiceDesk Plus, API v3: read a ticket or a solution, and put a note into a ticket.

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
# Theirs have 18 digits (docs/dev/outside.md). No desk has counted so many tickets that one of its numbers were as long.
_SHORTEST_CLOUD_ID = 12


class ServiceDeskPlus:
    """One tenant's desk.

    Each method raises DeskTimeout, DeskUnavailable or DeskRefused; what concerns one ticket, TicketNotFound too.
    HeldBack, before anything is sent, while the desk is down, busy with many calls, or has had those of this minute.
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
        """True if the tenant wants a note with the context alone when GPT-4 fails for good."""
        return self._desk.failure_note

    def link_to(self, ticket_id: str) -> str:
        """Return the address at which people open a ticket; empty for a portal on premises that its path names."""
        return page_of(self._desk, ticket_id)

    async def id_of(self, number: str) -> str:
        """Return the desk's id for a ticket's number; one call, and only for a cloud desk's number that people see.

        That is told from an id by its length, not by asking: a call for each webhook that named an id would cost a
        third of the desk's rate. Raises TicketNotFound when no ticket has the number; DeskUnavailable when the answer
        is another ticket, since a desk that has not searched would have the note in somebody else's ticket.
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
        """Return the ticket, closed or not. Raises TicketTrashed when it is in the trash."""
        body = (await self._of_ticket(ticket_id, "GET", "")).body.get("request")
        return ticket_of(body, self._desk.closed_statuses)

    async def read_open_ticket(self, ticket_id: str, *, begun: bool = True) -> DeskTicket:
        """Return the ticket. Raises TicketClosed when it is closed, and TicketTrashed when it is in the trash.

        `begun`: the desk was called for this job before, so that it goes before those that wait for their first call.
        """
        body = (await self._of_ticket(ticket_id, "GET", "", begun=begun)).body.get("request")
        if isinstance(body, dict) and not is_trashed(body) and is_closed(body, self._desk.closed_statuses):
            raise TicketClosed
        return ticket_of(body)

    def check_notes(self, *, answered: bool) -> None:
        """Raise HeldBack while the desk lets us write no note. `answered`: what the note will say is paid for."""
        self._calls.check_notes(answered=answered)

    async def add_note(
        self, ticket_id: str, description: str, about_to_post: Callable[[], Awaitable[None]] | None = None
    ) -> str:
        """Put a note (HTML) into the ticket, for technicians only, and return its id.

        `about_to_post` is awaited right before each call: there is a second one, with the other edition's key, where
        the first was refused for its key. After HeldBack nothing was posted, though it may have been awaited. After
        DeskTimeout or DeskUnavailable with `outcome_unknown` the note may be in the ticket: look with `find_note`.
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
        """Return the id of the newest note whose plain text `is_ours`, or None. Lists have no texts: each is read.

        Those are read that were written after `since` or up to a quarter of an hour before (the desk has a clock of its
        own), and the newest three in any case. A look that is held back between two calls tells `on_held_back` which
        notes it has not read; as `unread` they are where a later look goes on. Raises DeskUnavailable when the answer
        doesn't say which notes there are, since None lets a note be posted.
        """
        look = self._notes.find(ticket_id, is_ours, since, unread=unread, on_held_back=on_held_back)
        return await look

    async def has_note(self, ticket_id: str, note_id: str, is_ours: Callable[[str], bool]) -> bool:
        """Return True if the ticket has a note of that id whose plain text `is_ours`; one call."""
        return is_ours(plain_text(await self._notes.text(ticket_id, note_id)))

    async def read_conversation(self, ticket: DeskTicket, is_ours: Callable[[str], bool]) -> list[str]:
        """Return what was said in a ticket since it came, oldest first: its last mails and notes, each a call.

        Nothing where the desk tells that there is nothing. Notes whose plain text `is_ours` are left out.
        """
        return await read_conversation(ticket, self.lists, self._notes, is_ours)

    async def read_solution(self, solution_id: str) -> Solution | None:
        """Return one solution in full; None when it was deleted since it was listed."""
        answer = await self._calls.make("GET", f"/solutions/{solution_id}", own_right=True)
        if answer.not_found:
            return None
        return solution_of(solution_id, checked(answer).body.get("solution"))

    async def _of_ticket(
        self, ticket_id: str, method: str, rest: str, data: dict[str, Any] | None = None, *, begun: bool = True
    ) -> DeskAnswer:
        answer = await self._calls.make(method, f"/requests/{ticket_id}{rest}", data, who=ticket_id, begun=begun)
        return checked(answer, ticket_id)
