"""ServiceDesk Plus, API v3: read a ticket, put a note into it, list tickets and solutions.

Bodies are form-encoded, `input_data=<JSON>`; ids are strings. One object serves one tenant and sends that tenant's
credentials to that tenant's desk only.
"""

import html
import math
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

import httpx

from config.tenants import DeskSettings, Tenant
from integrations.desk_answers import SUCCESS, Answer
from integrations.desk_calls import DeskCalls, Limits
from integrations.desk_tokens import DeskTokens
from integrations.errors import (
    DeskRefused,
    DeskUnavailable,
    HeldBack,
    TicketClosed,
    TicketNotFound,
    TicketTrashed,
)

_TAGS = re.compile(r"<[/!?a-zA-Z][^<>]*>")
# What a text index takes for certain, of description and resolution together: it has room for 1,048,575 bytes of words,
# and a character costs up to 8.2 (words of four-byte characters with hyphens count as a whole and in parts).
_LONGEST_TEXT = 50_000
_LONGEST_NAME = 1_000
_MOST_NOTES = 100
_ALWAYS_READ = 3
_DESK_CLOCK_SECONDS = 900.0
_MOST_DIGITS = 15
_NOTE_KEYS = ("note", "request_note")


@dataclass(frozen=True, slots=True)
class DeskTicket:
    """A ticket as the desk has it; texts are plain, without HTML."""

    ticket_id: str
    subject: str
    description: str
    priority: str
    category: str
    status: str
    resolution: str
    requester: str = field(default="", repr=False)
    """Whose ticket it is, as a mail address: for `storage.tombstones`, never for a prompt, a line or a span."""


class ListedTicket(NamedTuple):
    """A ticket as a list has it."""

    ticket_id: str
    status: str
    is_trashed: bool = False

    def is_as(self, known: Mapping[str, str]) -> bool:
        """Return True if it has the status that is known of it (by its id), and is not in the trash."""
        return not self.is_trashed and known.get(self.ticket_id) == self.status


@dataclass(frozen=True, slots=True)
class Solution:
    """An article of the desk's knowledge base, as plain text."""

    solution_id: str
    title: str
    text: str


class ServiceDeskPlus:
    """One tenant's desk.

    Each method raises DeskTimeout, DeskUnavailable or DeskRefused; what concerns one ticket, TicketNotFound too.
    HeldBack, before anything is sent, while the desk is down, busy with many calls, or has had those of this minute.
    """

    def __init__(
        self,
        tenant: Tenant,
        http: httpx.AsyncClient,
        tokens: DeskTokens,
        timeout_seconds: float,
        limits: Limits,
    ) -> None:
        if tenant.desk is None:
            raise DeskRefused("no desk configured")
        self._desk: DeskSettings = tenant.desk
        self._calls = DeskCalls(tenant.id, tenant.desk, http, tokens, timeout_seconds, limits)
        self._note_key = _NOTE_KEYS[self._desk.edition == "cloud"]

    @property
    def wants_failure_note(self) -> bool:
        """Whether the tenant wants a note with the context alone when GPT-4 fails for good."""
        return self._desk.failure_note

    async def read_ticket(self, ticket_id: str) -> DeskTicket:
        """The ticket, closed or not. Raises TicketTrashed when it is in the trash."""
        return _ticket((await self._of_ticket(ticket_id, "GET", "")).body.get("request"))

    async def read_open_ticket(self, ticket_id: str, *, begun: bool = True) -> DeskTicket:
        """The ticket. Raises TicketClosed when it is closed, and TicketTrashed when it is in the trash.

        `begun`: the desk was called for this job before, so that it goes before those that wait for their first call.
        """
        body = (await self._of_ticket(ticket_id, "GET", "", begun=begun)).body.get("request")
        if isinstance(body, dict) and not _is_trashed(body) and self._is_closed(body.get("status")):
            raise TicketClosed
        return _ticket(body)

    def _is_closed(self, status: Any) -> bool:
        if not isinstance(status, dict):
            return False
        names = {str(status.get(field, "")).casefold() for field in ("name", "internal_name")}
        in_progress = status.get("in_progress")
        return in_progress is False or str(in_progress).lower() == "false" or bool(names & self._desk.closed_statuses)

    async def add_note(
        self, ticket_id: str, description: str, about_to_post: Callable[[], Awaitable[None]] | None = None
    ) -> str:
        """Put a note (HTML) into the ticket, for technicians only, and answer with its id.

        `about_to_post` is awaited when a call may be made, right before it is; for the second one, with the other
        edition's key, once more, since that is the call whose outcome may become unknown. After HeldBack nothing was
        posted, whether `about_to_post` was awaited (the first call was refused for its key) or not. After DeskTimeout
        or DeskUnavailable with `outcome_unknown` the note may be in the ticket all the same: look with `find_note`.
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
            key = self._note_key = next(other for other in _NOTE_KEYS if other != key)
            answer = await self._post_note(ticket_id, key, note, about_to_post)
        created = _checked(answer, ticket_id).body
        for name in _NOTE_KEYS:
            if isinstance(created.get(name), dict):
                return str(created[name].get("id", ""))
        raise DeskUnavailable("invalid answer", outcome_unknown=True)

    async def _post_note(
        self, ticket_id: str, key: str, note: dict[str, Any], about_to_post: Callable[[], Awaitable[None]] | None
    ) -> Answer:
        extra = {"notify_technician": False} if key == "request_note" else {}
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
        """The id of the newest note whose plain text `is_ours`, or None. Lists have no texts: each is read.

        Only the newest three and those written after `since` are, less a quarter of an hour: the desk has a clock of
        its own. A look that is held back between two calls tells `on_held_back` which notes it has not read: `unread`
        for the look that goes on with it. Raises DeskUnavailable when the answer doesn't say which notes there are:
        None lets a note be posted.
        """
        if unread is None:
            notes = await self._notes_to_read(ticket_id, since)
        else:
            notes = [(note_id, "") for note_id in unread]
        for number, (note_id, listed_text) in enumerate(notes):
            try:
                text = listed_text or await self._note_text(ticket_id, note_id)
            except HeldBack:
                if on_held_back is not None:
                    await on_held_back([left for left, _ in notes[number:]])
                raise
            if is_ours(plain_text(text)):
                return note_id
        return None

    async def _notes_to_read(self, ticket_id: str, since: datetime | None) -> list[tuple[str, str]]:
        """Ids, newest first, each with its text where the desk lists it."""
        wanted = {"list_info": {"row_count": _MOST_NOTES, "sort_field": "created_time", "sort_order": "desc"}}
        listed = await self._of_ticket(ticket_id, "GET", "/notes", wanted)
        oldest = 0.0 if since is None else since.timestamp() - _DESK_CLOCK_SECONDS
        newest_first = sorted(_items(listed, "notes", "request_notes"), key=_written_at, reverse=True)
        return [
            (str(item["id"]), str(item.get("description") or ""))
            for number, item in enumerate(newest_first)
            if number < _ALWAYS_READ or _written_at(item) >= oldest
        ]

    async def _note_text(self, ticket_id: str, note_id: str) -> str:
        answer = await self._calls.make("GET", f"/requests/{ticket_id}/notes/{note_id}", who=ticket_id)
        if answer.not_found:
            return ""  # deleted since it was listed
        single = _checked(answer).body
        note = next((single[key] for key in _NOTE_KEYS if key in single), None)
        # A note of somebody else's may have no text, but it is a note.
        if not isinstance(note, dict) or not ("description" in note or note.get("id")):
            raise DeskUnavailable("invalid answer")
        return str(note.get("description") or "")

    async def list_newest(self, most: int, start: int = 1) -> list[ListedTicket]:
        """The newest tickets, `most` of them (100 at most), from the `start`-th on; `read_ticket` has their texts."""
        page = {"row_count": min(most, 100), "start_index": start}
        wanted = {"list_info": {**page, "sort_field": "created_time", "sort_order": "desc"}}
        listed = _checked(await self._calls.make("GET", "/requests", wanted))
        items = {str(item["id"]): item for item in _items(listed, "requests")[:most]}
        return [ListedTicket(each, _name(item.get("status")), _is_trashed(item)) for each, item in items.items()]

    async def list_solutions(self, most: int) -> list[str]:
        """Ids of the approved solutions, `most` of them (100 at most)."""
        wanted = {"list_info": {"row_count": min(most, 100), "filter_by": {"name": "ApprovedSolutions"}}}
        listed = _checked(await self._calls.make("GET", "/solutions", wanted))
        return list(dict.fromkeys(str(item["id"]) for item in _items(listed, "solutions")[:most]))

    async def read_solution(self, solution_id: str) -> Solution | None:
        """One solution in full; None when it was deleted since it was listed."""
        answer = await self._calls.make("GET", f"/solutions/{solution_id}")
        if answer.not_found:
            return None
        body = _checked(answer).body.get("solution")
        if not isinstance(body, dict):
            raise DeskUnavailable("invalid answer")
        return Solution(
            solution_id,
            title=plain_text(str(body.get("title") or ""))[:_LONGEST_NAME],
            text=plain_text(str(body.get("description") or ""))[:_LONGEST_TEXT],
        )

    async def _of_ticket(
        self, ticket_id: str, method: str, rest: str, data: dict[str, Any] | None = None, *, begun: bool = True
    ) -> Answer:
        answer = await self._calls.make(method, f"/requests/{ticket_id}{rest}", data, who=ticket_id, begun=begun)
        return _checked(answer, ticket_id)


def _checked(answer: Answer, ticket_id: str | None = None) -> Answer:
    if answer.succeeded:
        return answer
    if ticket_id is not None and answer.not_found:
        raise TicketNotFound(ticket_id)
    raise answer.failure()


def _items(answer: Answer, *keys: str) -> list[dict[str, Any]]:
    """The list under the one of `keys` that is there (editions differ); its items have ids.

    A desk may leave an empty list out. That counts only where it says success and has no list of another name, which
    may be the same under a key that we don't know. Raises DeskUnavailable for anything else: it is not the API's.
    """
    body = answer.body
    found = next((body[key] for key in keys if key in body), None)
    if found is None and answer.code == SUCCESS and not any(key in body for key in keys):
        others = [name for name, value in body.items() if isinstance(value, list) and name != "response_status"]
        found = None if others else []
    if not isinstance(found, list) or not all(isinstance(item, dict) and item.get("id") for item in found):
        raise DeskUnavailable("invalid answer")
    return found


def _ticket(body: Any) -> DeskTicket:
    if isinstance(body, dict) and _is_trashed(body):
        raise TicketTrashed
    if not isinstance(body, dict) or not body.get("id"):
        raise DeskUnavailable("invalid answer")
    resolution = body.get("resolution")
    solved = plain_text(str(resolution.get("content") or "")) if isinstance(resolution, dict) else ""
    return DeskTicket(
        ticket_id=str(body["id"]),
        subject=plain_text(str(body.get("subject") or ""))[:_LONGEST_NAME],
        description=plain_text(str(body.get("description") or ""))[:_LONGEST_TEXT],
        priority=_name(body.get("priority")),
        category=_name(body.get("category")),
        status=_name(body.get("status")),
        resolution=solved[:_LONGEST_TEXT],
        requester=_address(body.get("requester")),
    )


def _written_at(note: dict[str, Any]) -> float:
    """When a note of a list was written, in Unix seconds: `added_time` on premises, `created_time` in the cloud.

    One that does not say counts as the newest, so that it is read.
    """
    moment = note.get("added_time") or note.get("created_time")
    value = str(moment.get("value")) if isinstance(moment, dict) else ""
    return int(value) / 1000 if value.isdecimal() and len(value) <= _MOST_DIGITS else math.inf


def _name(value: Any) -> str:
    return str(value.get("name") or "")[:_LONGEST_NAME] if isinstance(value, dict) else ""


def _address(person: Any) -> str:
    return str(person.get("email_id") or "")[:_LONGEST_NAME] if isinstance(person, dict) else ""


def _is_trashed(body: dict[str, Any]) -> bool:
    value = body.get("is_trashed")
    return value is True or str(value).lower() == "true"


def plain_text(markup: str) -> str:
    """HTML as plain text: tags out, entities resolved, white space folded."""
    return " ".join(html.unescape(_TAGS.sub(" ", markup)).split())
