"""Client of ServiceDesk Plus, API v3: tickets, solutions, notes, mails and work logs.

Bodies are form-encoded, `input_data=<JSON>`; ids are strings. Fields and criteria of lists are those of public clients
of both editions (docs/dev/outside.md).
"""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from operator import itemgetter
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import httpx2
from redis.asyncio import Redis

from config.tenants import DeskSettings, key_name, setting_suffix
from integrations.errors import (
    DeferredError,
    DeskRefusedError,
    DeskUnavailableError,
    ExternalError,
    TicketClosedError,
    TicketGoneError,
    TicketNotFoundError,
)
from integrations.http import proxy_remedy
from integrations.plain_text import lines_of, plain_text, unwrapped
from integrations.ports import CheckStep, DeskLimits
from integrations.resilience import PROBE_SECONDS
from integrations.servicedesk import parsing
from integrations.servicedesk.auth import KEY, AccessToken, SharedToken, refresh_token_of
from integrations.servicedesk.parsing import DeskAnswer, checked
from integrations.servicedesk.transport import DeskCalls
from integrations.values import DeskTicket, ListedSolution, ListedTicket, ListPage, Solution, is_number

NOTE_KEYS = ("note", "request_note")
"""Key of a note in a body: on premises, and in the cloud. Builds differ."""
_MAX_ROWS = 100
# Cloud ids have 18 digits (docs/dev/outside.md). No desk has so many tickets that a number reaches this length.
_MIN_CLOUD_ID_LENGTH = 12
# After this time the additional fields are requested again: the refusal may have had another cause.
_PLAIN_SECONDS = 3600.0
_CHANGED = "last_updated_time"
# The last three are not in every edition's list unless requested.
_FIELDS = ["subject", "status", "group", "template", "created_time", "site", "category", _CHANGED]
_MAX_PAGES_OF_MAILS, _MAX_PAGES_OF_NOTES = 5, 20
_ALWAYS_READ = 3
_DESK_CLOCK_SECONDS = 900.0
_MAX_TEXT_LENGTH, _MAX_MESSAGE_LENGTH = 50_000, 5_000
# Limits of a conversation: a job does not wait for a slow desk.
_MAX_MAILS, _MAX_NOTES = 5, 3
_CONVERSATION_SECONDS = 8.0
# Together with the resolution within the limit of a copy's text.
_MAX_HISTORY = 9


class ServiceDeskPlus:
    """One tenant's desk.

    Each method raises DeskTimeoutError, DeskUnavailableError or DeskRefusedError; methods about one ticket also
    TicketNotFoundError. While the desk is down, busy or over its rate, DeferredError is raised before anything is sent.
    """

    def __init__(self, desk: DeskSettings, calls: DeskCalls) -> None:
        self._desk = desk
        self._calls = calls
        self.wants_failure_note = desk.failure_note
        self._note_key = NOTE_KEYS[desk.edition == "cloud"]
        self._fields = [*_FIELDS, *(["display_id"] if desk.edition == "cloud" else [])]
        self._plain_until = -math.inf

    def link_to(self, ticket_id: str) -> str:
        """Return the browser URL; empty for an on-premises portal path (undocumented)."""
        desk = self._desk
        if desk.edition == "cloud":
            return f"{desk.url}/ui/requests/{quote(ticket_id, safe='')}/details"
        if urlsplit(desk.url).path.strip("/"):
            return ""
        query = {"woMode": "viewWO", "woID": ticket_id} | ({"PORTALID": desk.portal_id} if desk.portal_id else {})
        return f"{desk.url}/WorkOrder.do?{urlencode(query)}"

    def link_to_solution(self, solution_id: str) -> str:
        """Return the browser URL; empty in the cloud and for a portal, whose pages no public source names."""
        if self._desk.edition == "cloud" or self._desk.portal_id or urlsplit(self._desk.url).path.strip("/"):
            return ""
        query = {"submitaction": "viewsolution", "fromListView": "true", "solutionID": solution_id}
        return f"{self._desk.url}/AddSolution.do?{urlencode(query)}"

    async def authenticate(self) -> None:
        await self._calls.credentials()

    async def id_of(self, number: str) -> str:
        """Return the desk's id for a number, which may be a cloud display number.

        An id is recognized by its length: a call for each webhook would cost a third of the desk's rate. Raises
        DeskUnavailableError if the answer is another ticket, which would get the note.
        """
        if self._desk.edition != "cloud" or not is_number(number) or len(number) >= _MIN_CLOUD_ID_LENGTH:
            return number
        criterion = {"field": "display_id", "condition": "is", "value": number}
        data = {"list_info": {"row_count": 1, "search_criteria": criterion}}
        items = parsing.items_of(
            checked(await self._calls.make("GET", "/requests", data, caller=number, begun=False)), "requests"
        )
        if not items:
            raise TicketNotFoundError(number)
        desk_id = str(items[0]["id"])
        if len(items) > 1 or str(items[0].get("display_id")) != number or not is_number(desk_id):
            raise DeskUnavailableError("invalid answer")
        return desk_id

    async def list_tickets(self, start: int = 1, *, changed_since: datetime | None = None) -> ListPage[ListedTicket]:
        """Return up to 100 tickets from the `start`-th on, without texts, newest first.

        With `changed_since`, only tickets changed after that by the desk's clock, oldest change first. A desk may
        ignore the order, and omit requested fields: the caller must check the items.
        """
        list_info: dict[str, Any] = {"row_count": _MAX_ROWS, "start_index": start}
        if changed_since is None:
            list_info |= {"sort_field": "created_time", "sort_order": "desc"}
        else:
            milliseconds = str(round(changed_since.timestamp() * 1000))
            criterion = {"field": _CHANGED, "condition": "greater than", "value": milliseconds}
            list_info |= {"sort_field": _CHANGED, "sort_order": "asc", "search_criteria": criterion}
        listed = await self._list(list_info)
        tickets = [parsing.listed_ticket_of(item) for item in parsing.items_of(listed, "requests")]
        return ListPage(list({ticket.ticket_id: ticket for ticket in tickets}.values()), parsing.has_more(listed))

    async def _list(self, list_info: dict[str, Any]) -> DeskAnswer:
        async def get(**fields: Any) -> DeskAnswer:
            return checked(await self._calls.make("GET", "/requests", {"list_info": list_info | fields}))

        if time.monotonic() < self._plain_until:
            return await get()
        try:
            return await get(fields_required=self._fields)
        except DeskRefusedError:
            listed = await get()
            self._plain_until = time.monotonic() + _PLAIN_SECONDS
            return listed

    async def list_solutions(self, start: int = 1) -> ListPage[ListedSolution]:
        """Return up to 100 approved solutions from the `start`-th on, without texts.

        Raises DeskRefusedError if the permission for solutions is missing, whatever the HTTP status.
        """
        list_info = {"row_count": _MAX_ROWS, "start_index": start, "filter_by": {"name": "ApprovedSolutions"}}
        listed = checked(await self._calls.make("GET", "/solutions", {"list_info": list_info}, own_permission=True))
        solutions = [parsing.listed_solution_of(item) for item in parsing.items_of(listed, "solutions")]
        return ListPage(list({each.solution_id: each for each in solutions}.values()), parsing.has_more(listed))

    async def _listed_mails(self, ticket_id: str) -> list[tuple[str, float]]:
        """Return ids and Unix times (0 if unknown) of up to 500 mails, oldest first."""
        items, _ = await self._of_ticket(ticket_id, "conversations", most_pages=_MAX_PAGES_OF_MAILS, begun=False)
        mails = (item for item in items if str(item.get("type")).upper() != "NOTES")
        sent = [
            (str(mail["id"]), parsing.moment_of(mail.get("sent_time") or mail.get("created_time"))) for mail in mails
        ]
        return sorted(((mail_id, at.timestamp() if at else 0.0) for mail_id, at in sent), key=itemgetter(1))

    async def _of_ticket(
        self, ticket_id: str, *names: str, most_pages: int, begun: bool = True
    ) -> tuple[list[dict[str, Any]], bool]:
        """Return a ticket's list, under one of `names`, and True if it is complete."""
        items: dict[str, dict[str, Any]] = {}
        for _ in range(most_pages):
            data = {"list_info": {"row_count": _MAX_ROWS, "start_index": len(items) + 1}}
            path = f"/requests/{ticket_id}/{names[0]}"
            answer = checked(await self._calls.make("GET", path, data, caller=ticket_id, begun=begun), ticket_id)
            count = len(items)
            items |= {str(item["id"]): item for item in parsing.items_of(answer, *names)}
            if not parsing.has_more(answer):
                return list(items.values()), True
            if len(items) == count:
                break  # the same page again
        return list(items.values()), False

    async def _read_mail(self, ticket_id: str, mail_id: str) -> str:
        """Return the text of a mail; empty for a deleted one and for other items."""
        path = f"/requests/{ticket_id}/notifications/{mail_id}"
        answer = await self._calls.make("GET", path, caller=ticket_id, begun=False)
        if answer.not_found:
            return ""
        body = checked(answer).body.get("notification")
        text = str(body.get("description") or "") if isinstance(body, dict) else ""
        return unwrapped(lines_of(text)[:_MAX_TEXT_LENGTH], is_reply=True)[:_MAX_MESSAGE_LENGTH]

    async def read_ticket(self, ticket_id: str, *, begun: bool = True) -> DeskTicket:
        answer = await self._calls.make("GET", f"/requests/{ticket_id}", caller=ticket_id, begun=begun)
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
        """Add a note (see `Desk`); if its key is refused, use the other edition's key."""
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
            return self._calls.make("POST", path, {key: note}, about_to_post, caller=ticket_id)

        key = self._note_key
        answer = await post(key)
        if answer.names_extra_key:
            # Nothing was done, so this does not post twice.
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

        Lists have no texts: a note is read if written after `since` or up to 15 minutes before (the desk has its own
        clock), and the newest three in any case. Raises DeskUnavailableError for an incomplete list, because the
        caller posts a note after None.
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
                    await on_held_back([unread_id for unread_id, _ in notes[number:]])
                raise
            if is_ours(plain_text(text)):
                return note_id
        return None

    async def _listed_notes(self, ticket_id: str) -> list[dict[str, Any]]:
        """Return all notes, newest first; sorted here: no known sort field fits both editions."""
        notes, are_all = await self._of_ticket(ticket_id, "notes", "request_notes", most_pages=_MAX_PAGES_OF_NOTES)
        if not are_all:
            raise DeskUnavailableError("invalid answer")
        return sorted(notes, key=_written_at, reverse=True)

    async def _note_text(self, ticket_id: str, note_id: str) -> str:
        answer = await self._calls.make("GET", f"/requests/{ticket_id}/notes/{note_id}", caller=ticket_id)
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

        A failure or the timeout ends the reading. A failure is raised if nothing was read; the timeout never is.
        """
        messages: list[tuple[float, str]] = []
        try:
            async with asyncio.timeout(_CONVERSATION_SECONDS):
                async for at, text in self._conversation(ticket, is_ours):
                    messages.append((at, text))
        except TimeoutError:
            pass
        except (ExternalError, DeferredError):
            if not messages:
                raise
        return [text for _, text in sorted(messages, key=itemgetter(0)) if text.strip()]

    async def _conversation(
        self, ticket: DeskTicket, is_ours: Callable[[str], bool]
    ) -> AsyncIterator[tuple[float, str]]:
        has_mails = ticket.conversation
        if has_mails is None:
            has_mails = ticket.changed_at is not None and ticket.changed_at != ticket.created_at
        if has_mails:
            for mail_id, sent in reversed((await self._listed_mails(ticket.ticket_id))[-_MAX_MAILS:]):
                yield sent, await self._read_mail(ticket.ticket_id, mail_id)
        if ticket.has_notes:
            for note in (await self._listed_notes(ticket.ticket_id))[:_MAX_NOTES]:
                yield _written_at(note), await self._read_note(ticket.ticket_id, note, is_ours)

    async def _read_note(
        self, ticket_id: str, note: dict[str, Any], is_ours: Callable[[str], bool] = lambda _: False
    ) -> str:
        """Return the text of a listed note; empty if it is ours, or was deleted."""
        text = str(note.get("description") or "") or await self._note_text(ticket_id, str(note["id"]))
        return "" if is_ours(plain_text(text)) else _message(text)

    async def read_history(self, ticket: DeskTicket, wait_turn: Callable[[], Awaitable[None]]) -> list[str]:
        """Return the last mails, notes and work logs of a closed ticket, oldest first, without those refused."""
        ticket_id = ticket.ticket_id
        entries: list[tuple[float, str | Callable[[], Awaitable[str]]]] = []
        if ticket.conversation is not False:
            with _unless_refused():
                await wait_turn()
                mails = await self._listed_mails(ticket_id)
                entries += [(sent, partial(self._read_mail, ticket_id, mail_id)) for mail_id, sent in mails]
        if ticket.has_notes:
            with _unless_refused():
                await wait_turn()
                notes = await self._listed_notes(ticket_id)
                entries += [(_written_at(note), partial(self._read_note, ticket_id, note)) for note in notes]
        with _unless_refused():
            await wait_turn()
            logs, _ = await self._of_ticket(ticket_id, "worklogs", most_pages=1)
            entries += [(_logged_at(log), _message(str(log.get("description") or ""))) for log in logs]
        texts = []
        for _, entry in sorted(entries, key=itemgetter(0))[-_MAX_HISTORY:]:
            if isinstance(entry, str):
                texts.append(entry)
                continue
            with _unless_refused():
                await wait_turn()
                texts.append(await entry())
        return [text for text in texts if text]

    async def read_solution(self, solution_id: str) -> Solution | None:
        """Return a solution; None if it was deleted."""
        answer = await self._calls.make("GET", f"/solutions/{solution_id}", own_permission=True)
        if answer.not_found:
            return None
        return parsing.solution_of(solution_id, checked(answer).body.get("solution"))


def _written_at(note: dict[str, Any]) -> float:
    """Return a listed note's Unix time; without one it counts as newest and is read.

    The field is `added_time` on premises, `created_time` in the cloud and in older builds on premises.
    """
    moment = parsing.moment_of(note.get("added_time") or note.get("created_time"))
    return math.inf if moment is None else moment.timestamp()


def _logged_at(log: dict[str, Any]) -> float:
    moment = parsing.moment_of(log.get("recorded_time") or log.get("start_time"))
    return 0.0 if moment is None else moment.timestamp()


def _message(html: str) -> str:
    return unwrapped(lines_of(html)[:_MAX_TEXT_LENGTH])[:_MAX_MESSAGE_LENGTH]


@contextmanager
def _unless_refused() -> Iterator[None]:
    """Leave the block if the desk refuses a call, lacks the item or its answer is not the API's."""
    try:
        yield
    except (DeskRefusedError, TicketGoneError):
        pass
    except DeskUnavailableError as failure:
        if not failure.unusable:
            raise


CLOUD_PROBE_SECONDS = 300.0
"""Seconds between tries while a cloud desk refuses the credentials: each may cost one of ten tokens in ten minutes."""
_REQUESTS = "SDPOnDemand.requests.ALL"
_SOLUTIONS = "SDPOnDemand.solutions.READ"


class ServiceDesk:
    """See `integrations.ports.DeskKind`."""

    redis_prefix = KEY

    def hold_seconds(self, desk: DeskSettings) -> float:
        return CLOUD_PROBE_SECONDS if desk.edition == "cloud" else PROBE_SECONDS

    def open(
        self,
        tenant_id: str,
        desk: DeskSettings,
        http: httpx2.AsyncClient,
        redis: Redis | None,
        timeout_seconds: float,
        limits: DeskLimits,
        *,
        probing: bool = False,
    ) -> ServiceDeskPlus:
        token = (SharedToken if probing else AccessToken)(tenant_id, desk, http, redis, timeout_seconds)
        return ServiceDeskPlus(desk, DeskCalls(tenant_id, desk, http, token, timeout_seconds, limits))

    async def refresh_token_of(
        self, desk: DeskSettings, code: str, http: httpx2.AsyncClient, timeout_seconds: float
    ) -> str:
        return await refresh_token_of(desk, code, http, timeout_seconds)

    def remedy(self, tenant_id: str, desk: DeskSettings, step: CheckStep, reason: str) -> str:
        suffix = setting_suffix(tenant_id)
        if "proxy" in reason:
            return proxy_remedy(urlsplit(desk.accounts_url if step == "authenticate" else desk.url).hostname or "")
        if step == "authenticate":
            return _token_remedy(tenant_id, reason)
        if step == "credentials":
            is_cloud = desk.edition == "cloud"
            setting = "SERVICEDESK_REFRESH_TOKEN" if is_cloud else "SERVICEDESK_API_KEY"
            scope = f", or lacks the scope {_REQUESTS}" if is_cloud else ""
            return f"renew {setting}_{suffix}: it is wrong or expired{scope}"
        if step == "address":
            return f"check that SERVICEDESK_URL_{suffix} is right, the desk runs, and this machine can reach it"
        if step == "portal":
            return (
                f"SERVICEDESK_URL_{suffix} must be the part before /api/v3, with /app/<portal> if the desk has portals"
            )
        scope = _SOLUTIONS if step == "solutions" else _REQUESTS
        return f"give the key's technician the right to see {step}, or the cloud's token the scope {scope}"


def _token_remedy(tenant_id: str, reason: str) -> str:
    """Return the action for a missing token; only the accounts host checks secrets."""
    address = key_name(tenant_id, "servicedesk.accounts_url")
    if reason == "invalid answer" or reason.startswith(("connection", "5")):
        return f"check that {address} is the accounts host of the desk's region, and that this machine can reach it"
    if reason == "429":
        return "wait ten minutes: the accounts host issues at most ten tokens per refresh token in that time"
    return f"renew {tenant_id}.servicedesk.client_id, its secret and refresh token for {address}"


SERVICEDESK = ServiceDesk()
