"""Sources of copies: the tickets and the solutions of a desk."""

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import ClassVar, NamedTuple, Protocol

from config.tenants import DeskSettings, Tenant, TicketRules, fold, fold_all
from db.session import Database
from integrations.errors import DeskRefusedError, DeskUnavailableError, ExternalError, TicketGoneError
from integrations.ports import DeskClient
from integrations.values import DeskTicket, ListedSolution, ListedTicket, ListPage, Solution
from knowledge import repository, sync_repository
from knowledge.desk_tasks import SyncThrottle
from knowledge.language import LANGUAGES
from knowledge.passages import passages_of
from knowledge.sync_repository import Collection, DeskLease, ListedItem, PassState
from privacy import tombstones

# Items with incomplete list values, and refused ones, are read again once a day.
UNSEEN_HOURS = 20
_COPIED = ("subject", "description", "status", "display_id")
# Changes are queried from a quarter of an hour earlier: a desk may show a change after a later one.
_OVERLAP = timedelta(minutes=15)
_STEP = timedelta(milliseconds=1)
_MAX_PAGES_OF_CHANGES = 10
# A shorter one ("done, thanks") helps nobody.
_WORDS_OF_A_RESOLUTION = 5
_PASSAGE_CHARACTERS = 1500
_MAX_PASSAGES = 20


class TicketFollowUp(Protocol):
    """What a sync needs from the code that posts notes."""

    def without_own_notes(self, text: str) -> str:
        """Return what people wrote in a text: the notes of this system in it are not copied."""

    async def on_read(self, tenant: Tenant, ticket: DeskTicket, seconds_ago: float) -> None:
        """Process a ticket that was copied: current settings, ticket, and age of its state in seconds, at most."""


def is_item_failure(failure: ExternalError) -> bool:
    """Return True if only this item is at fault, not the desk."""
    return isinstance(failure, DeskRefusedError) or (isinstance(failure, DeskUnavailableError) and failure.unusable)


@dataclass(slots=True)
class SyncResult:
    """Numbers of copied items, and of copies removed because the desk lacks them."""

    tickets: int = 0
    passages: int = 0
    removed: int = 0
    to_read: int = 0
    """Tickets and solutions that are still to be read."""
    with_solutions: bool = True
    """False if the desk refuses to list them."""
    refused: int = 0
    """Single items that the desk refused."""
    done: bool = True
    """False if more was to be done when the time was over."""
    stopped: str = ""
    """Reason why a list was not read further; empty if it was."""


@dataclass(slots=True)
class SyncRun:
    """One sync of one tenant's desk. `tenant` returns the current settings."""

    database: Database
    desk: DeskClient
    tenant: Callable[[], Tenant]
    settings: DeskSettings
    throttle: SyncThrottle
    lease: DeskLease
    follow_up: TicketFollowUp
    tenant_id: str = field(init=False)
    oldest: datetime = field(init=False)
    """Tickets created earlier are not copied."""
    result: SyncResult = field(default_factory=SyncResult)
    lists_changes: bool = True
    """False if the desk's list cannot be filtered by change time."""
    items_read: int = 0
    """Single tickets and solutions that the desk returned, or reported as gone."""
    last_failure: ExternalError | None = None
    """The last of several failures in a row, which ended a step."""

    def __post_init__(self) -> None:
        self.tenant_id = self.tenant().id
        self.oldest = datetime.now(UTC) - timedelta(days=self.settings.history_days)

    @property
    def key(self) -> tuple[Database, str]:
        return self.database, self.tenant_id

    @property
    def languages(self) -> Sequence[str]:
        return self.settings.languages or LANGUAGES

    @property
    def rules(self) -> TicketRules:
        return self.tenant().rules

    def rules_digest(self, collection: Collection) -> str:
        rules = self.rules
        names = {kind: sorted(names) for kind, names in rules.forbidden.items()}
        excluded = names if collection == "t" else sorted(rules.never_topics)
        return hashlib.sha256(json.dumps(excluded, sort_keys=True).encode()).hexdigest() if excluded else ""

    async def wait_turn(self) -> None:
        """Wait until the desk may be called again. Raises HeldByAnotherError."""
        await self.throttle.wait()
        await self.lease.renew()


class RecordedPage(NamedTuple):
    """A recorded page of a list (`knowledge.sync_repository.record_listed`).

    `kept`: items that may be copied; `new`: those of them not seen before in this pass.
    """

    ids: Sequence[str]
    created: Sequence[datetime | None]
    kept: int
    new: int
    has_more: bool


def digest(*values: object) -> str:
    return hashlib.blake2b(repr(values).encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


class TicketSource:
    """The tickets of one desk."""

    collection: ClassVar[Collection] = "t"

    def __init__(self, run: SyncRun) -> None:
        self._run = run

    async def record_page(self, start: int, pass_from: datetime) -> RecordedPage:
        await self._run.wait_turn()
        listed = await self._run.desk.list_tickets(start)
        kept, new = await self._record(listed.items, pass_from)
        ids, created = [each.ticket_id for each in listed.items], [each.created_at for each in listed.items]
        return RecordedPage(ids, created, kept, new, listed.has_more)

    async def record_newest(self, state: PassState) -> PassState:
        await self._run.wait_turn()
        listed = await self._run.desk.list_tickets()
        self._run.lists_changes = any(each.changed_at is not None for each in listed.items)
        await self._record(listed.items)
        times = [moment for each in listed.items for moment in (each.created_at, each.changed_at) if moment is not None]
        if not times or state.changes_until is not None:
            return state
        # A future ticket must not hide changes until then.
        return replace(state, changes_until=min(max(times), state.now))

    async def record_changed(self, state: PassState) -> PassState:
        """Record changes since the last query; return the state with their latest time."""
        since = state.changes_until
        if since is None or not self._run.lists_changes:
            return state
        after, start, last_ids, in_order = since - _OVERLAP, 1, set[str](), True
        for _ in range(_MAX_PAGES_OF_CHANGES):
            listed = await self._changed_after(after, start)
            times = [
                each.changed_at for each in listed.items if each.changed_at is not None and each.changed_at > after
            ]
            if len(times) < len(listed.items):
                self._run.lists_changes = False
                return state
            ids = {each.ticket_id for each in listed.items}
            if ids <= last_ids:
                break
            last_ids, in_order = ids, in_order and times == sorted(times)
            await self._record(listed.items)
            since = min(max(since, *times), state.now)
            if not listed.has_more:
                break
            # Query by the last time, not by page: changed tickets move between pages.
            jumps = in_order and max(times) - _STEP > after
            after, start = (max(times) - _STEP, 1) if jumps else (after, start + len(listed.items))
        else:
            # A sorted rest comes in the next sync, any other in the next pass. The next query has no overlap, which
            # could return these pages again.
            self._run.lists_changes = in_order
            since += _OVERLAP
        return replace(state, changes_until=since)

    async def _changed_after(self, after: datetime, start: int) -> ListPage[ListedTicket]:
        await self._run.wait_turn()
        try:
            return await self._run.desk.list_tickets(start, changed_since=after)
        except DeskRefusedError:
            # The same result as for a list that ignores the query.
            return ListPage([ListedTicket("", "")], has_more=False)

    async def _record(self, listed: Sequence[ListedTicket], pass_from: datetime | None = None) -> tuple[int, int]:
        run = self._run
        numbers = {ticket.ticket_id: ticket.display_id for ticket in listed if ticket.display_id}
        await repository.number_tickets(*run.key, numbers)
        kinds = {each.ticket_id: fold_all(each.kinds) for each in listed}
        await repository.note_kinds(*run.key, kinds)
        # A copy made before numbers were stored is matched to its tombstone by number only now.
        ids = {each.ticket_id for each in listed}
        forgotten = await tombstones.forgotten_among(*run.key, {*ids, *numbers.values()})
        rules = run.rules
        barred = {
            each.ticket_id
            for each in listed
            if each.is_trashed or rules.forbids(each.kinds) or forgotten & {each.ticket_id, numbers.get(each.ticket_id)}
        }
        run.result.removed += await sync_repository.remove(*run.key, "t", list(barred))
        kept = [
            each
            for each in listed
            if each.ticket_id not in barred and (each.created_at is None or each.created_at >= run.oldest)
        ]
        rows = [self._row(each) for each in kept]
        new = await sync_repository.record_listed(*run.key, "t", rows, hours=UNSEEN_HOURS, pass_from=pass_from)
        return len(kept), new

    def _row(self, ticket: ListedTicket) -> ListedItem:
        # Kinds are left out: `_record` stores them in the copies, and a list may omit them at times.
        values = digest(ticket.status, ticket.subject, ticket.display_id)
        kinds = self._run.rules.forbidden.keys() | self._run.rules.within.keys()
        is_complete = kinds <= ticket.kinds.keys() or self._run.lists_changes
        return ListedItem(ticket.ticket_id, values, ticket.created_at, ticket.changed_at, is_complete)

    async def read(self, ticket_id: str) -> None:
        run = self._run
        await run.wait_turn()
        requested_at = time.monotonic()
        try:
            ticket = await run.desk.read_ticket(ticket_id)
        except TicketGoneError:
            run.result.removed += await repository.remove_ticket(*run.key, ticket_id)
            return
        if run.rules.forbids(ticket.kinds):
            run.result.removed += await repository.remove_ticket(*run.key, ticket_id)
        else:
            conversation = await self._conversation(ticket)
            columns = {name: getattr(ticket, name) for name in _COPIED}
            columns |= {"ticket_id": ticket_id, "resolution": ticket.outcome, "conversation": conversation}
            saved = await repository.save_ticket(
                run.database,
                run.tenant_id,
                columns,
                ticket.requester,
                kinds=fold_all({**ticket.kinds, "priority": ticket.priority}),
                created_at=ticket.created_at,
                people=ticket.people,
                languages=run.languages,
            )
            run.result.tickets += saved
            if saved:
                await run.follow_up.on_read(run.tenant(), ticket, time.monotonic() - requested_at)
            else:
                # The ticket was forgotten, so its list values are deleted too.
                await sync_repository.remove(*run.key, "t", [ticket_id])
        created_at, changed_at = ticket.created_at, ticket.changed_at
        await sync_repository.mark_read(*run.key, "t", ticket_id, created_at=created_at, changed_at=changed_at)

    async def _conversation(self, ticket: DeskTicket) -> str:
        """Return a closed ticket's resolution that says too little, and what was said about it, newest first.

        A prompt has the beginning of a long text.
        """
        run = self._run
        is_wanted = run.settings.conversation and ticket.closed
        if not is_wanted or len(ticket.resolution.split()) >= _WORDS_OF_A_RESOLUTION:
            return ""
        texts = map(run.follow_up.without_own_notes, await run.desk.read_history(ticket, run.wait_turn))
        said = [text for text in texts if text]
        return "\n\n".join([*filter(None, [ticket.outcome]), *reversed(said)]) if said else ""


class SolutionSource:
    """The approved solutions of one desk."""

    collection: ClassVar[Collection] = "p"

    def __init__(self, run: SyncRun) -> None:
        self._run = run

    async def record_page(self, start: int, pass_from: datetime) -> RecordedPage:
        run = self._run
        await run.wait_turn()
        try:
            listed = await run.desk.list_solutions(start)
        except DeskRefusedError:
            # The technician of a key, or the scope of a token, may have access to tickets but not to solutions.
            run.result.with_solutions = False
            raise
        barred = [each.solution_id for each in listed.items if fold(each.topic) in run.rules.never_topics]
        run.result.removed += await sync_repository.remove(*run.key, "p", barred)
        rows = [_row(each) for each in listed.items if each.solution_id not in barred]
        new = await sync_repository.record_listed(*run.key, "p", rows, hours=UNSEEN_HOURS, pass_from=pass_from)
        ids = [each.solution_id for each in listed.items]
        return RecordedPage(ids, [None] * len(ids), len(rows), new, listed.has_more)

    async def read(self, solution_id: str) -> None:
        run = self._run
        await run.wait_turn()
        solution = await run.desk.read_solution(solution_id)
        if solution is None or fold(solution.topic) in run.rules.never_topics or _is_expired(solution):
            run.result.removed += await repository.remove_passages(*run.key, solution_id)
        else:
            bodies = list(islice(passages_of(solution.text, _PASSAGE_CHARACTERS), _MAX_PASSAGES))
            arguments = (run.tenant_id, solution_id, solution.title, bodies)
            topic, expires_at = fold(solution.topic), solution.expires_at
            await repository.save_passages(
                run.database, *arguments, topic=topic, expires_at=expires_at, languages=run.languages
            )
            run.result.passages += len(bodies)
        await sync_repository.mark_read(*run.key, "p", solution_id)


def _is_expired(solution: Solution) -> bool:
    return solution.expires_at is not None and solution.expires_at <= datetime.now(UTC)


def _row(solution: ListedSolution) -> ListedItem:
    # If the list lacks both, the text may change without a change of the title.
    is_complete = solution.changed_at is not None or solution.text is not None
    values = [solution.title, solution.topic, solution.text, *([solution.expires_at] if solution.expires_at else [])]
    return ListedItem(solution.solution_id, digest(*values), None, solution.changed_at, is_complete)
