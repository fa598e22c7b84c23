"""Client of ServiceDesk Plus, API v3: tickets, solutions, notes and mails.

Bodies are form-encoded, `input_data=<JSON>`; ids are strings. One object serves one tenant and sends that tenant's
credentials to that tenant's desk only. Fields and criteria of lists are those of public clients of both editions
(docs/dev/outside.md).
"""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from config.tenants import DeskSettings
from integrations.errors import (
    DeferredError,
    DeskRefusedError,
    DeskUnavailableError,
    ExternalError,
    TicketClosedError,
    TicketNotFoundError,
)
from integrations.plain_text import lines_of, plain_text, unwrapped
from integrations.servicedesk import parsing
from integrations.servicedesk.parsing import DeskAnswer, checked
from integrations.servicedesk.transport import DeskCalls
from integrations.values import DeskTicket, ListedSolution, ListedTicket, ListPage, Solution, is_number

NOTE_KEYS = ("note", "request_note")
"""What a note is called in a body: on premises, and in the cloud. Builds differ."""
LONG_AGO = datetime.min.replace(tzinfo=UTC)
_MOST_ROWS = 100
# Cloud ids have 18 digits (docs/dev/outside.md). No desk has so many tickets that a number reaches this length.
_SHORTEST_CLOUD_ID = 12
# After this the additional fields are requested again: the refusal may have had another cause.
_PLAIN_SECONDS = 3600.0
_CHANGED = "last_updated_time"
# The last three are not in every edition's list unless requested.
_FIELDS = ["subject", "status", "group", "template", "created_time", "site", "category", _CHANGED]
_MOST_PAGES_OF_MAILS, _MOST_PAGES_OF_NOTES = 5, 20
_ALWAYS_READ = 3
_DESK_CLOCK_SECONDS = 900.0
_LONGEST_TEXT, _LONGEST_MAIL = 50_000, 5_000
# Of a conversation; a job does not wait for a slow desk: the searches take only a second.
_MOST_MAILS, _MOST_NOTES = 5, 3
_CONVERSATION_SECONDS = 8.0


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
        tickets = [parsing.listed_ticket_of(item) for item in parsing.items_of(listed, "requests")]
        return ListPage(list({ticket.ticket_id: ticket for ticket in tickets}.values()), parsing.has_more(listed))

    async def _list(self, wanted: dict[str, Any]) -> DeskAnswer:
        return checked(await self._calls.make("GET", "/requests", {"list_info": wanted}))

    async def _list_with(self, wanted: dict[str, Any]) -> DeskAnswer:
        try:
            return await self._list({**wanted, "fields_required": self._fields})
        except DeskRefusedError:
            listed = await self._list(wanted)
            self._plain_until = self._monotonic() + _PLAIN_SECONDS
            return listed

    async def solutions(self, start: int = 1) -> ListPage[ListedSolution]:
        """Return up to 100 approved solutions from the `start`-th on, without texts.

        Raises DeskRefusedError if the permission for solutions is missing, under any status.
        """
        wanted = {"row_count": _MOST_ROWS, "start_index": start, "filter_by": {"name": "ApprovedSolutions"}}
        listed = checked(await self._calls.make("GET", "/solutions", {"list_info": wanted}, own_right=True))
        solutions = [parsing.listed_solution_of(item) for item in parsing.items_of(listed, "solutions")]
        return ListPage(list({one.solution_id: one for one in solutions}.values()), parsing.has_more(listed))

    async def mails(self, ticket_id: str) -> list[tuple[str, datetime]]:
        """Return ids and times of up to 500 mails of a ticket, oldest first.

        A mail without a time gets `LONG_AGO`.
        """
        items, _ = await self.of_ticket(ticket_id, "conversations", most_pages=_MOST_PAGES_OF_MAILS, begun=False)
        mails = (item for item in items if str(item.get("type")).upper() != "NOTES")
        sent = [
            (str(mail["id"]), parsing.moment_of(mail.get("sent_time") or mail.get("created_time"))) for mail in mails
        ]
        return sorted(((mail_id, at or LONG_AGO) for mail_id, at in sent), key=lambda mail: mail[1])

    async def of_ticket(
        self, ticket_id: str, *names: str, most_pages: int, begun: bool = True
    ) -> tuple[list[dict[str, Any]], bool]:
        """Return the items of a ticket's list, 100 per call, and True if they are all; it has one of `names`."""
        found: dict[str, dict[str, Any]] = {}
        for _ in range(most_pages):
            wanted = {"list_info": {"row_count": _MOST_ROWS, "start_index": len(found) + 1}}
            path = f"/requests/{ticket_id}/{names[0]}"
            answer = checked(await self._calls.make("GET", path, wanted, who=ticket_id, begun=begun), ticket_id)
            known = len(found)
            found |= {str(item["id"]): item for item in parsing.items_of(answer, *names)}
            if not parsing.has_more(answer):
                return list(found.values()), True
            if len(found) == known:
                break  # the same page again
        return list(found.values()), False

    async def mail(self, ticket_id: str, mail_id: str) -> str:
        """Return the text of a mail; empty if it does not exist, as for other items."""
        path = f"/requests/{ticket_id}/notifications/{mail_id}"
        answer = await self._calls.make("GET", path, who=ticket_id, begun=False)
        if answer.not_found:
            return ""
        body = checked(answer).body.get("notification")
        text = str(body.get("description") or "") if isinstance(body, dict) else ""
        return unwrapped(lines_of(text)[:_LONGEST_TEXT])[:_LONGEST_MAIL]


class ServiceDeskPlus:
    """One tenant's desk.

    Each method raises DeskTimeoutError, DeskUnavailableError or DeskRefusedError; methods about one ticket also
    TicketNotFoundError. DeferredError, before anything is sent, while the desk is down, busy, or over its rate.
    """

    def __init__(self, desk: DeskSettings, calls: DeskCalls) -> None:
        self._desk = desk
        self._calls = calls
        self.wants_failure_note = desk.failure_note
        self._note_key = NOTE_KEYS[desk.edition == "cloud"]
        self.lists = DeskLists(calls, desk)

    def link_to(self, ticket_id: str) -> str:
        """Return the ticket's browser URL; empty for an on-premises portal with a path.

        Its URL format is undocumented; docs/dev/outside.md has the others.
        """
        desk = self._desk
        if desk.edition == "cloud":
            return f"{desk.url}/ui/requests/{quote(ticket_id, safe='')}/details"
        if urlsplit(desk.url).path.strip("/"):
            return ""
        named = {"woMode": "viewWO", "woID": ticket_id} | ({"PORTALID": desk.portal_id} if desk.portal_id else {})
        return f"{desk.url}/WorkOrder.do?{urlencode(named)}"

    async def authenticate(self) -> None:
        await self._calls.authenticate()

    async def id_of(self, number: str) -> str:
        """Return the desk's id for a ticket's number, calling only if it may differ.

        That is a cloud desk's display number. An id is recognized by its length, because a call for each webhook that
        named an id would cost a third of the desk's rate. Raises TicketNotFoundError if no ticket has the number;
        DeskUnavailableError if the answer is another ticket, because the note would be added to a wrong ticket.
        """
        if self._desk.edition != "cloud" or not is_number(number) or len(number) >= _SHORTEST_CLOUD_ID:
            return number
        criterion = {"field": "display_id", "condition": "is", "value": number}
        wanted = {"list_info": {"row_count": 1, "search_criteria": criterion}}
        found = parsing.items_of(
            checked(await self._calls.make("GET", "/requests", wanted, who=number, begun=False)), "requests"
        )
        if not found:
            raise TicketNotFoundError(number)
        desk_id = str(found[0]["id"])
        if len(found) > 1 or str(found[0].get("display_id")) != number or not is_number(desk_id):
            raise DeskUnavailableError("invalid answer")
        return desk_id

    async def read_ticket(self, ticket_id: str, *, begun: bool = True) -> DeskTicket:
        answer = await self._calls.make("GET", f"/requests/{ticket_id}", who=ticket_id, begun=begun)
        return parsing.ticket_of(checked(answer, ticket_id).body.get("request"), self._desk.closed_statuses)

    async def read_open_ticket(self, ticket_id: str, *, begun: bool = True) -> DeskTicket:
        ticket = await self.read_ticket(ticket_id, begun=begun)
        if ticket.closed:
            raise TicketClosedError
        return ticket

    def check_notes(self, *, answered: bool) -> None:
        self._calls.check_notes(answered=answered)

    async def add_note(
        self, ticket_id: str, description: str, about_to_post: Callable[[], Awaitable[None]] | None = None
    ) -> str:
        """Add a note, see `workflow.ports.Desk`.

        There is a second call, with the other edition's key, if the first was refused for its key.
        """
        note: dict[str, Any] = {
            "description": description,
            "show_to_requester": False,
            "mark_first_response": False,
            "add_to_linked_requests": False,
        }
        if self._desk.edition == "cloud":
            note["notify_technician"] = False

        def post(key: str) -> Awaitable[DeskAnswer]:
            path = f"/requests/{ticket_id}/notes"
            return self._calls.make("POST", path, {key: note}, about_to_post, who=ticket_id)

        key = self._note_key
        answer = await post(key)
        if answer.names_extra_key:
            # The other edition's key: nothing was done, so this does not post twice.
            self._note_key = next(other for other in NOTE_KEYS if other != key)
            answer = await post(self._note_key)
        created = checked(answer, ticket_id).body
        for name in NOTE_KEYS:
            if isinstance(created.get(name), dict):
                return str(created[name].get("id", ""))
        raise DeskUnavailableError("invalid answer", outcome_unknown=True)

    async def find_note(
        self,
        ticket_id: str,
        is_ours: Callable[[str], bool],
        since: datetime | None = None,
        *,
        unread: Sequence[str] | None = None,
        on_held_back: Callable[[list[str]], Awaitable[None]] | None = None,
    ) -> str | None:
        """Return the id of a note, see `workflow.ports.Desk`.

        Lists have no texts: each note is read if it was written after `since` or up to a quarter of an hour before (the
        desk has a clock of its own), and the newest three in any case. Raises DeskUnavailableError if the answer does
        not list the notes, since None lets a note be posted.
        """
        if unread is None:
            oldest = 0.0 if since is None else since.timestamp() - _DESK_CLOCK_SECONDS
            notes = [
                (str(item["id"]), str(item.get("description") or ""))
                for number, item in enumerate(await self._listed_notes(ticket_id))
                if number < _ALWAYS_READ or _written_at(item) >= oldest
            ]
        else:
            notes = [(note_id, "") for note_id in unread]
        for number, (note_id, listed_text) in enumerate(notes):
            try:
                text = listed_text or await self._note_text(ticket_id, note_id)
            except DeferredError:
                if on_held_back is not None:
                    await on_held_back([left for left, _ in notes[number:]])
                raise
            if is_ours(plain_text(text)):
                return note_id
        return None

    async def _listed_notes(self, ticket_id: str) -> list[dict[str, Any]]:
        """Return all notes, newest first: no known sort field works in both editions."""
        notes, are_all = await self.lists.of_ticket(
            ticket_id, "notes", "request_notes", most_pages=_MOST_PAGES_OF_NOTES
        )
        if not are_all:
            raise DeskUnavailableError("invalid answer")
        return sorted(notes, key=_written_at, reverse=True)

    async def _note_text(self, ticket_id: str, note_id: str) -> str:
        answer = await self._calls.make("GET", f"/requests/{ticket_id}/notes/{note_id}", who=ticket_id)
        if answer.not_found:
            return ""
        single = checked(answer).body
        note = next((single[key] for key in NOTE_KEYS if key in single), None)
        # Another author's note may have no text, but it is a note.
        if not isinstance(note, dict) or not ("description" in note or note.get("id")):
            raise DeskUnavailableError("invalid answer")
        return str(note.get("description") or "")

    async def has_note(self, ticket_id: str, note_id: str, is_ours: Callable[[str], bool]) -> bool:
        return is_ours(plain_text(await self._note_text(ticket_id, note_id)))

    async def read_conversation(self, ticket: DeskTicket, is_ours: Callable[[str], bool]) -> list[str]:
        """Return the last mails and notes of a ticket, oldest first, each by one call.

        They are those that were read before a failure or the timeout; it raises only if there are none of them. Empty
        if the desk reports none. Notes whose plain text `is_ours` are left out.
        """
        said: list[tuple[float, str]] = []
        try:
            async with asyncio.timeout(_CONVERSATION_SECONDS):
                async for at, text in self._conversation(ticket, is_ours):
                    said.append((at, text))
        except TimeoutError:
            pass
        except (ExternalError, DeferredError):
            if not said:
                raise
        return [text for _, text in sorted(said, key=lambda each: each[0]) if text.strip()]

    async def _conversation(
        self, ticket: DeskTicket, is_ours: Callable[[str], bool]
    ) -> AsyncIterator[tuple[float, str]]:
        answered = ticket.conversation
        if answered is None:
            answered = ticket.changed_at is not None and ticket.changed_at != ticket.created_at
        if answered:
            for mail_id, sent in reversed((await self.lists.mails(ticket.ticket_id))[-_MOST_MAILS:]):
                yield sent.timestamp() if sent.year > 1 else 0.0, await self.lists.mail(ticket.ticket_id, mail_id)
        if ticket.has_notes:
            for note in (await self._listed_notes(ticket.ticket_id))[:_MOST_NOTES]:
                text = str(note.get("description") or "") or await self._note_text(ticket.ticket_id, str(note["id"]))
                if not is_ours(plain_text(text)):
                    yield _written_at(note), unwrapped(lines_of(text)[:_LONGEST_TEXT])

    async def read_solution(self, solution_id: str) -> Solution | None:
        """Return one solution in full; None if it was deleted since it was listed."""
        answer = await self._calls.make("GET", f"/solutions/{solution_id}", own_right=True)
        if answer.not_found:
            return None
        return parsing.solution_of(solution_id, checked(answer).body.get("solution"))


def _written_at(note: dict[str, Any]) -> float:
    """Return the time of a listed note, in Unix seconds.

    It is `added_time` on premises, and `created_time` in the cloud and in older builds on premises. A note without a
    time counts as the newest, so that it is read.
    """
    moment = parsing.moment_of(note.get("added_time") or note.get("created_time"))
    return math.inf if moment is None else moment.timestamp()
