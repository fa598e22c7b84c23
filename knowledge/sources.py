"""Sources of copies: the tickets and the solutions of a desk, and the state of their copying."""

import hashlib
import json
import textwrap
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import ClassVar, NamedTuple

from config.tenants import DeskSettings, Tenant, TicketRules, fold, fold_all
from db.session import Database
from integrations.errors import DeskRefusedError, ExternalError, TicketClosedError, TicketGoneError, TicketNotFoundError
from integrations.servicedesk.client import ServiceDeskPlus
from integrations.servicedesk.parsing import ListedSolution, ListedTicket, ListPage, Solution, numbers_in
from integrations.values import DeskTicket
from jobs import feedback, reconcile, refresh
from jobs.intake import request_refresh
from jobs.repository import SEEN_REOPENED
from knowledge import listings, repository
from knowledge.language import LANGUAGES
from knowledge.listings import Collection, Holder, ListedItem, PassState
from knowledge.rounds import SyncThrottle
from knowledge.terms import taken_up
from observability import log_events, metrics
from observability.logging import log_event
from privacy import tombstones

# Until items are read again whose lists lack fields that the rules need, or that the desk refused: once a day.
UNSEEN_HOURS = 20
_COPIED = ("subject", "description", "resolution", "status", "display_id")
# Changes are queried from a quarter of an hour earlier: a desk may show a change after a later one.
_OVERLAP = timedelta(minutes=15)
_STEP = timedelta(milliseconds=1)
_MOST_PAGES_OF_CHANGES = 10
_MOST_MAILS = 10
# Later, a ticket whose job was skipped is not new any more.
_SKIP_WINDOW = timedelta(days=1)
_GONE = (TicketNotFoundError("").reason, TicketClosedError().reason)
_PASSAGE_CHARACTERS = 1500
_MOST_PASSAGES = 20


@dataclass(slots=True)
class Synced:
    """Numbers of copied items, and of copies removed because the desk lacks them."""

    tickets: int = 0
    passages: int = 0
    removed: int = 0
    to_read: int = 0
    """Tickets and solutions that are still to be read."""
    with_solutions: bool = True
    """False where the desk refuses to list them."""
    refused: int = 0
    """Single ones that the desk did not give."""
    done: bool = True
    """False if there was more to do when its time was over."""
    stopped: str = ""
    """Why a list was not read as far as there was time for, if it was not."""


@dataclass(slots=True)
class DeskCopy:
    """The copying of one tenant's desk. `tenant` returns the current settings."""

    database: Database
    desk: ServiceDeskPlus
    tenant: Callable[[], Tenant]
    settings: DeskSettings
    pace: SyncThrottle
    holder: Holder
    job_deadline_seconds: int
    tenant_id: str = field(init=False)
    oldest: datetime = field(init=False)
    """Tickets created before are left out."""
    synced: Synced = field(default_factory=Synced)
    tells_changes: bool = True
    """False where the desk's list does not tell what was changed since a time."""
    given: int = 0
    """Single tickets and solutions that the desk gave, or said to be gone."""
    gave_up: ExternalError | None = None
    """What ended a step: several in a row that the desk did not give."""

    def __post_init__(self) -> None:
        self.tenant_id = self.tenant().id
        self.oldest = datetime.now(UTC) - timedelta(days=self.settings.history_days)

    @property
    def where(self) -> tuple[Database, str]:
        return self.database, self.tenant_id

    @property
    def languages(self) -> Sequence[str]:
        return self.settings.languages or LANGUAGES

    @property
    def rules(self) -> TicketRules:
        return self.tenant().rules

    def rules_digest(self, collection: Collection) -> str:
        rules = self.rules
        named = {kind: sorted(names) for kind, names in rules.forbidden.items()}
        told = named if collection == "t" else sorted(rules.never_topics)
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest() if told else ""

    async def turn(self) -> None:
        """Return when the desk may be called again. Raises HeldByAnotherError."""
        await self.pace.wait()
        await self.holder.renew()


class TakenPage(NamedTuple):
    """A recorded page of a list (`knowledge.listings.take_in`).

    `kept` of its items may be copied; `news` of those had not been seen in this pass.
    """

    ids: Sequence[str]
    created: Sequence[datetime | None]
    kept: int
    news: int
    has_more: bool


def digest(*told: object) -> str:
    return hashlib.blake2b(repr(told).encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


class TicketSource:
    """The tickets of one desk."""

    collection: ClassVar[Collection] = "t"

    def __init__(self, copy: DeskCopy) -> None:
        self._copy = copy

    async def take_page(self, start: int, pass_from: datetime) -> TakenPage:
        await self._copy.turn()
        listed = await self._copy.desk.lists.tickets(start)
        kept, news = await self._take(listed.items, pass_from)
        ids, created = [each.ticket_id for each in listed.items], [each.created_at for each in listed.items]
        return TakenPage(ids, created, kept, news, listed.has_more)

    async def newest(self, state: PassState) -> PassState:
        await self._copy.turn()
        listed = await self._copy.desk.lists.tickets()
        self._copy.tells_changes = any(each.changed_at is not None for each in listed.items)
        await self._take(listed.items)
        times = [moment for each in listed.items for moment in (each.created_at, each.changed_at) if moment is not None]
        if not times or state.changes_until is not None:
            return state
        # A future ticket must not hide changes until then.
        return replace(state, changes_until=min(max(times), state.now))

    async def changed(self, state: PassState) -> PassState:
        """Record changes since the last query; return the state with their latest time."""
        since = state.changes_until
        if since is None or not self._copy.tells_changes:
            return state
        after, start, seen, in_order = since - _OVERLAP, 1, set[str](), True
        for _ in range(_MOST_PAGES_OF_CHANGES):
            listed = await self._changed_after(after, start)
            times = [
                each.changed_at for each in listed.items if each.changed_at is not None and each.changed_at > after
            ]
            if len(times) < len(listed.items):
                self._copy.tells_changes = False
                return state
            ids = {each.ticket_id for each in listed.items}
            if ids <= seen:
                break
            seen, in_order = ids, in_order and times == sorted(times)
            await self._take(listed.items)
            since = min(max(since, *times), state.now)
            if not listed.has_more:
                break
            # Query by the last time, not by page: changed tickets move between pages.
            jumps = in_order and max(times) - _STEP > after
            after, start = (max(times) - _STEP, 1) if jumps else (after, start + len(listed.items))
        else:
            # The rest comes in the next sync if sorted, else in the next pass. Not from further back: that may be all
            # of these.
            self._copy.tells_changes = in_order
            since += _OVERLAP
        return replace(state, changes_until=since)

    async def _changed_after(self, after: datetime, start: int) -> ListPage[ListedTicket]:
        await self._copy.turn()
        try:
            return await self._copy.desk.lists.tickets(start, changed_since=after)
        except DeskRefusedError:
            # As for a list that ignores the query.
            return ListPage([ListedTicket("", "")], has_more=False)

    async def _take(self, listed: Sequence[ListedTicket], pass_from: datetime | None = None) -> tuple[int, int]:
        copy = self._copy
        numbers = numbers_in(listed)
        await repository.number_tickets(*copy.where, numbers)
        kinds = {each.ticket_id: fold_all(each.kinds) for each in listed}
        await repository.note_kinds(*copy.where, kinds)
        # A copy made before numbers were stored is matched to its tombstone by number only now.
        ids = {each.ticket_id for each in listed}
        left = await tombstones.forgotten_among(*copy.where, {*ids, *numbers.values()})
        rules = copy.rules
        barred = {
            each.ticket_id
            for each in listed
            if each.is_trashed or rules.forbid(each.kinds) or left & {each.ticket_id, numbers.get(each.ticket_id)}
        }
        copy.synced.removed += await listings.remove(*copy.where, "t", list(barred))
        kept = [
            each
            for each in listed
            if each.ticket_id not in barred and (each.created_at is None or each.created_at >= copy.oldest)
        ]
        rows = [self._row(each) for each in kept]
        return len(kept), await listings.take_in(*copy.where, "t", rows, hours=UNSEEN_HOURS, pass_from=pass_from)

    def _row(self, each: ListedTicket) -> ListedItem:
        # Without kinds: copies get those here, and lists may change whether they have them.
        told = digest(each.status, each.subject, each.display_id)
        kinds = self._copy.rules.forbidden.keys() | self._copy.rules.within.keys()
        tells_all = kinds <= each.kinds.keys() or self._copy.tells_changes
        return ListedItem(each.ticket_id, told, each.created_at, each.changed_at, tells_all)

    async def read(self, ticket_id: str) -> None:
        copy = self._copy
        await copy.turn()
        asked_at = time.monotonic()
        try:
            ticket = await copy.desk.read_ticket(ticket_id)
        except TicketGoneError:
            copy.synced.removed += await repository.remove_ticket(*copy.where, ticket_id)
            return
        if copy.rules.forbid(ticket.kinds):
            copy.synced.removed += await repository.remove_ticket(*copy.where, ticket_id)
        else:
            said = await self._said(ticket_id) if copy.settings.conversation and ticket.closed else ""
            columns = {"ticket_id": ticket_id, "conversation": said} | {name: getattr(ticket, name) for name in _COPIED}
            saved = await repository.save_ticket(
                copy.database,
                copy.tenant_id,
                columns,
                ticket.requester,
                kinds=fold_all(ticket.kinds),
                created_at=ticket.created_at,
                people=ticket.people,
                languages=copy.languages,
            )
            copy.synced.tickets += saved
            if saved:
                await _measure(*copy.where, ticket, copy.languages)
                since = time.monotonic() - asked_at
                await mind_reopening(copy.database, copy.tenant(), ticket, since, copy.job_deadline_seconds)
            else:
                # It was forgotten, and so are its list values.
                await listings.remove(*copy.where, "t", [ticket_id])
        created_at, changed_at = ticket.created_at, ticket.changed_at
        await listings.was_read(*copy.where, "t", ticket_id, created_at=created_at, changed_at=changed_at)

    async def _said(self, ticket_id: str) -> str:
        lists, texts = self._copy.desk.lists, []
        try:
            await self._copy.turn()
            for mail_id, _sent in (await lists.mails(ticket_id))[-_MOST_MAILS:]:
                await self._copy.turn()
                texts.append(await lists.mail(ticket_id, mail_id))
        except (DeskRefusedError, TicketGoneError):
            pass
        return "\n\n".join(filter(None, texts))


async def _measure(database: Database, tenant_id: str, ticket: DeskTicket, languages: Sequence[str]) -> None:
    if not (ticket.closed and ticket.resolution):
        return
    note = await feedback.unmeasured_note(database, tenant_id, ticket.ticket_id)
    if note is None:
        return
    ratio = taken_up(note.steps, ticket.resolution, f"{ticket.subject}\n{ticket.description}", languages)
    if ratio is None:
        return
    version = await feedback.record_taken_up(database, tenant_id, note.job_id, ratio)
    if version is not None:
        metrics.taken_up(tenant_id, version.prompt, version.model, ratio)


async def mind_reopening(
    database: Database, tenant: Tenant, ticket: DeskTicket, seconds_ago: float, job_deadline_seconds: int
) -> None:
    """Record that a ticket with a note was closed; make a job if it is open again.

    `seconds_ago`: since when the desk may have shown this state, at most. An open ticket whose job was skipped as
    closed is reported once; its job is made, if the tenant wants that, by any later reading: the setting may have been
    changed since. Raises one of DATABASE_FAILURES.
    """
    about = (database, tenant.id, ticket.ticket_id)
    if ticket.closed:
        await refresh.note_closed(*about, seconds_ago)
        return
    if not tenant.note.if_reopened:
        await refresh.forget_closing(*about)
    elif await refresh.was_reopened(*about):
        await request_refresh(*about, SEEN_REOPENED, job_deadline_seconds)
    ago = timedelta(seconds=seconds_ago)
    skipped = await reconcile.seen_open_again(*about, reasons=_GONE, window=_SKIP_WINDOW, ago=ago)
    if skipped is None:
        return
    if skipped.is_new:
        metrics.RECONCILE_FOUND.labels(tenant.id, "reopened").inc()
        mode = "on" if tenant.recovers else "report"
        log_event(log_events.TICKET_REOPENED, job_id=skipped.job_id, ticket_id=ticket.ticket_id, reconcile=mode)
    if tenant.recovers:
        await request_refresh(*about, SEEN_REOPENED, job_deadline_seconds)


class SolutionSource:
    """The approved solutions of one desk."""

    collection: ClassVar[Collection] = "p"

    def __init__(self, copy: DeskCopy) -> None:
        self._copy = copy

    async def take_page(self, start: int, pass_from: datetime) -> TakenPage:
        copy = self._copy
        await copy.turn()
        try:
            listed = await copy.desk.lists.solutions(start)
        except DeskRefusedError:
            # The technician of a key, or the scope of a token, may have access to tickets but not to solutions.
            copy.synced.with_solutions = False
            raise
        barred = [each.solution_id for each in listed.items if fold(each.topic) in copy.rules.never_topics]
        copy.synced.removed += await listings.remove(*copy.where, "p", barred)
        rows = [_row(each) for each in listed.items if each.solution_id not in barred]
        news = await listings.take_in(*copy.where, "p", rows, hours=UNSEEN_HOURS, pass_from=pass_from)
        ids = [each.solution_id for each in listed.items]
        return TakenPage(ids, [None] * len(ids), len(rows), news, listed.has_more)

    async def read(self, solution_id: str) -> None:
        copy = self._copy
        await copy.turn()
        solution = await copy.desk.read_solution(solution_id)
        if solution is None or fold(solution.topic) in copy.rules.never_topics or _is_expired(solution):
            copy.synced.removed += await repository.remove_passages(*copy.where, solution_id)
        else:
            bodies = _passages_of(solution)
            about = (copy.tenant_id, solution_id, solution.title, bodies)
            topic, expires_at = fold(solution.topic), solution.expires_at
            await repository.save_passages(
                copy.database, *about, topic=topic, expires_at=expires_at, languages=copy.languages
            )
            copy.synced.passages += len(bodies)
        await listings.was_read(*copy.where, "p", solution_id)


def _passages_of(solution: Solution) -> list[str]:
    text = " ".join(solution.text.split())
    parts = textwrap.wrap(text, _PASSAGE_CHARACTERS, break_long_words=False, break_on_hyphens=False)
    return parts[:_MOST_PASSAGES]


def _is_expired(solution: Solution) -> bool:
    return solution.expires_at is not None and solution.expires_at <= datetime.now(UTC)


def _row(each: ListedSolution) -> ListedItem:
    # If the list lacks both, the text may change while the title stays the same.
    tells_all = each.changed_at is not None or each.text is not None
    told = [each.title, each.topic, each.text, *([each.expires_at] if each.expires_at else [])]
    return ListedItem(each.solution_id, digest(*told), None, each.changed_at, tells_all)
