"""Rounds of copying all desks: new and changed items, then the history; reports and metrics."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import Any

from config.tenant_directory import TenantDirectory
from config.tenants import DeskSettings, Tenant
from db.session import DATABASE_FAILURES, Database, is_away, is_locked
from integrations.errors import DeferredError, ExternalError
from integrations.servicedesk.client import ServiceDeskPlus
from integrations.servicedesk.clients import Desks
from knowledge import listings, repository
from knowledge.listings import COLLECTIONS, Extent, HeldByAnotherError, PassState
from knowledge.rounds import DeskRounds, SyncThrottle, SyncThrottles, call_seconds, is_its_own
from knowledge.sources import UNSEEN_HOURS, DeskCopy, SolutionSource, Synced, TakenPage, TicketSource
from observability import log_events, metrics
from observability.identifiers import bound
from observability.logging import log_event

_MOST_INDEXED = 1000
_AGAIN_AFTER = timedelta(hours=1)
_LONGEST_INTERVAL = timedelta(hours=UNSEEN_HOURS)
_SHARE_OF_CALLS = 20
_ROWS_A_PAGE = 100
# More consecutive pages than these without a new item end a pass as incomplete.
_MOST_IN_VAIN = 2
# More consecutive refusals end the reading.
_MOST_FAILED_IN_A_ROW = 3
_ASKED_FOR = 100
# One of so many calls lists a page, while there are both: a pass and its findings advance together.
_READS_A_PAGE = 4
_NAMES = {"t": "ticket_id", "p": "solution_id"}
# The longest call and a margin: after that, another process may copy this desk.
_HELD_SECONDS = 30.0
_CALLS_HELD = 4


class Copying(DeskRounds):
    """The copies under way; `stop()` it."""

    span = "Sync"
    failure_phrase = log_events.SYNC_FAILED

    def __init__(
        self,
        tenants: TenantDirectory,
        database: Database,
        desks: Desks,
        job_deadline_seconds: int,
        paces: SyncThrottles | None = None,
        **limits: Any,
    ) -> None:
        super().__init__(tenants, **limits)
        self._database = database
        self._desks = desks
        self._deadline = job_deadline_seconds
        self._paces = SyncThrottles() if paces is None else paces

    async def round(self, seconds: float) -> None:
        tell_no_others(tenant.id for tenant in self._tenants.all() if tenant.desk is not None)
        await super().round(seconds)

    async def work(self, tenant: Tenant, desk: DeskSettings, seconds: float) -> None:
        try:
            synced = await self.copy(tenant.id, desk, seconds)
        except HeldByAnotherError:
            log_event(log_events.SYNC_LEFT_OUT, tenant_id=tenant.id)
            return
        result = "completed" if synced.with_solutions else "without solutions"
        metrics.SYNCS.labels(tenant.id, result).inc()
        metrics.SYNCED_AT.labels(tenant.id).set_to_current_time()
        log_event(log_events.SYNC_COMPLETED, {"tenant_id": tenant.id, **asdict(synced)})

    def failed(
        self, tenant_id: str, reason: str, failure: Exception | None = None, also: Mapping[str, object] | None = None
    ) -> None:
        super().failed(tenant_id, reason, failure, also)
        metrics.SYNCS.labels(tenant_id, "failed").inc()

    async def copy(self, tenant_id: str, desk: DeskSettings, seconds: float) -> Synced:
        def tenant() -> Tenant:
            # A tenant that has just left has no desk to copy.
            return self._tenants.get(tenant_id) or Tenant(tenant_id)

        pace = self._paces.setdefault((tenant_id, desk.rate_per_minute), SyncThrottle(desk.rate_per_minute))
        about = (self._database, self._desks.of(tenant_id), tenant, desk)
        return await sync_tenant(*about, seconds=seconds, pace=pace, job_deadline_seconds=self._deadline)


async def sync_tenant(
    database: Database,
    desk: ServiceDeskPlus,
    tenant: Callable[[], Tenant],
    settings: DeskSettings,
    *,
    seconds: float,
    pace: SyncThrottle,
    job_deadline_seconds: int,
    monotonic: Callable[[], float] = time.monotonic,
) -> Synced:
    """Copy new and changed items, and go on with the history, for about `seconds`.

    `tenant` returns the current settings. Raises ExternalError, DeferredError or HeldByAnotherError, or one of
    DATABASE_FAILURES; the next round resumes there. A desk that returns its lists and nothing else has failed too.
    """
    until = monotonic() + seconds
    tenant_id = tenant().id
    async with listings.held(database, tenant_id, _HELD_SECONDS + _CALLS_HELD * call_seconds(settings)) as holder:
        copy = DeskCopy(database, desk, tenant, settings, pace, holder, job_deadline_seconds)
        # From stored kinds, whatever the desk answers.
        copy.synced.removed += await repository.remove_forbidden(database, tenant_id, copy.rules.forbidden)
        copy.synced.removed += await repository.remove_expired(database, tenant_id)
        await tell_extent(database, tenant_id)
        await _newest(copy)
        await repository.index_again(database, tenant_id, copy.languages, _MOST_INDEXED)
        steps = [SourceSteps(copy, TicketSource(copy)), SourceSteps(copy, SolutionSource(copy))]
        while steps and monotonic() < until:
            steps = [each for each in steps if await each.go_on()]
    extent = await tell_extent(database, tenant_id)
    if copy.gave_up is not None and not copy.given:
        raise copy.gave_up
    return replace(copy.synced, to_read=extent.to_read, done=not steps)


async def _newest(copy: DeskCopy) -> None:
    tickets, where = TicketSource(copy), (copy.database, copy.tenant_id)
    state = await tickets.newest(await listings.load_pass(*where, "t"))
    try:
        state = await tickets.changed(state)
    except ExternalError as failure:
        # If more than this list fails, the next call reports it.
        log_event(log_events.SYNC_FAILED, tenant_id=copy.tenant_id, reason=failure.reason, also=failure.also)
    await listings.save_pass(*where, "t", state, copy.holder.id)
    for collection in COLLECTIONS:
        state, digest = await listings.load_pass(*where, collection), copy.rules_digest(collection)
        if state.rules != digest:
            await listings.read_what_was_left_out(*where, collection)
            await listings.save_pass(*where, collection, replace(state, rules=digest), copy.holder.id)


class SourceSteps:
    """The steps of one source in one sync: pages of its lists, and readings of items.

    A pass over all pages resumes where the last process stopped. Items missing in two passes, an hour apart, are gone.
    New or changed items are read one by one, latest change first.
    """

    def __init__(self, copy: DeskCopy, source: TicketSource | SolutionSource) -> None:
        self._copy = copy
        self._source = source
        self._where = (copy.database, copy.tenant_id, source.collection)
        self._lists = True
        self._in_vain = 0
        self._last_ids: Sequence[str] = ()
        self._failed_in_a_row = 0
        self._next: deque[str] = deque()

    async def go_on(self) -> bool:
        """List a page and read some items; return False if there was nothing to do."""
        listed = await self._list()
        return bool(await self._read_some()) or listed

    async def _list(self) -> bool:
        try:
            return self._lists and await self._take_page()
        except ExternalError as failure:
            self._lists, self._copy.synced.stopped = False, failure.reason
            refused = self._source.collection == "p" and not self._copy.synced.with_solutions
            phrase = log_events.SOLUTIONS_REFUSED if refused else log_events.SYNC_FAILED
            log_event(phrase, tenant_id=self._copy.tenant_id, reason=failure.reason, also=failure.also)
        return False

    async def _take_page(self) -> bool:
        state = await listings.load_pass(*self._where)
        if not self._is_due(state):
            return False
        if state.began_at is None:
            state = state.begun()
        began_at = state.began_at or state.now
        page = await self._source.take_page(state.next_start, began_at)
        repeated = page.ids == self._last_ids or (page.kept > 0 and page.news == 0)
        self._in_vain, self._last_ids = (self._in_vain + 1 if repeated else 0), page.ids
        behind = _behind(state, page)
        if reason := await self._odd(page, behind, began_at):
            # An incomplete pass proves nothing about the items it has not shown.
            self._copy.synced.stopped = reason
            behind = behind.ended()
        elif not page.has_more or self._rest_is_old(state, page, behind):
            behind = await self._complete(behind, began_at)
        await listings.save_pass(*self._where, behind, self._copy.holder.id)
        return True

    async def _odd(self, page: TakenPage, behind: PassState, began_at: datetime) -> str:
        if self._in_vain > _MOST_IN_VAIN:
            return "its list repeats itself"
        if not page.ids and page.has_more:
            return "its list has an empty page"
        # An empty list of tickets: we may have lost the right to see any.
        is_empty = behind.next_start == 1 and self._source.collection == "t"
        return "its list is empty" if is_empty and await listings.count_missing(*self._where, began_at) else ""

    def _is_due(self, state: PassState) -> bool:
        if state.began_at is not None or state.ended_at is None:
            return True
        if state.now - state.ended_at < _AGAIN_AFTER:
            return False
        if state.missing or state.complete_from is None:
            return True
        # Passes use a twentieth of the calls.
        took = state.next_start / _ROWS_A_PAGE * call_seconds(self._copy.settings)
        return state.now - state.complete_from >= min(_LONGEST_INTERVAL, timedelta(seconds=_SHARE_OF_CALLS * took))

    def _rest_is_old(self, before: PassState, page: TakenPage, behind: PassState) -> bool:
        """Return True if a sorted list has reached items that are too old."""
        # A list that begins with old items is in another order, even if all are of one moment.
        oldest, last = self._copy.oldest, behind.last_created
        newer = [created for created in (before.last_created, *page.created) if created is not None]
        return behind.in_order and last is not None and last < oldest <= max(newer)

    async def _complete(self, state: PassState, began_at: datetime) -> PassState:
        state = replace(state, now=(await listings.load_pass(*self._where)).now)
        before, ended = state.complete_from, state.complete_at
        if before is not None and ended is not None and began_at - ended >= _AGAIN_AFTER:
            self._copy.synced.removed += await listings.remove_unlisted(*self._where, before)
        self._copy.synced.removed += await listings.remove_older(*self._where, self._copy.oldest)
        return state.ended(await listings.count_missing(*self._where, began_at))

    async def _read_some(self) -> int:
        """Read a few items; return how many there were, 0 after several refusals.

        A failure of one item is logged, and the item is read again later: after a day if the desk refuses it.
        """
        if self._failed_in_a_row > _MOST_FAILED_IN_A_ROW:
            return 0
        if not self._next:
            # Many at once: rows just read precede them in the index until a vacuum.
            self._next.extend(await listings.next_to_read(*self._where, _ASKED_FOR))
        items = [self._next.popleft() for _ in range(min(_READS_A_PAGE, len(self._next)))]
        for item_id in items:
            with bound(**{_NAMES[self._source.collection]: item_id}):
                failure = await self._read(item_id)
            if failure is not None and self._failed_in_a_row > _MOST_FAILED_IN_A_ROW:
                if not is_its_own(failure):
                    raise failure
                self._copy.gave_up = failure
                return 0
        return len(items)

    async def _read(self, item_id: str) -> ExternalError | None:
        failure: ExternalError | None = None
        try:
            await self._source.read(item_id)
        except (DeferredError, HeldByAnotherError):
            raise
        except ExternalError as its_failure:
            failure = its_failure
            self._failed_in_a_row += 1
            log_event(log_events.SYNC_FAILED, tenant_id=self._copy.tenant_id, reason=failure.reason, also=failure.also)
        except DATABASE_FAILURES as refusal:
            if is_away(refusal) and not is_locked(refusal):
                raise
            log_event(
                log_events.SYNC_FAILED, tenant_id=self._copy.tenant_id, reason="could not be stored", failure=refusal
            )
        except Exception as odd:  # noqa: BLE001 -- one odd ticket must not end the copying of all the others
            log_event(log_events.SYNC_FAILED, tenant_id=self._copy.tenant_id, reason="unexpected failure", failure=odd)
        else:
            self._copy.given += 1
            self._failed_in_a_row = 0
            return None
        is_refused = failure is not None and is_its_own(failure)
        await listings.put_off(*self._where, item_id, hours=UNSEEN_HOURS if is_refused else 1)
        if is_refused:
            self._copy.synced.refused += 1
            if self._source.collection == "t":
                # It may be in another queue now.
                await repository.hide_kinds(*self._where[:2], item_id)
        return failure


def _behind(state: PassState, page: TakenPage) -> PassState:
    last, in_order = state.last_created, state.in_order
    for created in page.created:
        in_order = in_order and created is not None and (last is None or created <= last)
        last = created
    return replace(state, next_start=state.next_start + len(page.ids), last_created=last, in_order=in_order)


async def tell_extent(database: Database, tenant_id: str) -> Extent:
    extent = await listings.extent(database, tenant_id)
    metrics.COPIED_TICKETS.labels(tenant_id).set(extent.tickets)
    metrics.COPIES_TO_READ.labels(tenant_id).set(extent.to_read)
    moments = ((metrics.OLDEST_COPY_SEEN_AT, extent.oldest_seen), (metrics.COPIES_REACH, extent.reaches_back_to))
    for gauge, moment in moments:
        gauge.labels(tenant_id).set(time.time() if moment is None else moment.timestamp())
    # A desk that never returned anything must not look freshly read.
    metrics.COPY_READ_AT.labels(tenant_id).set(0 if extent.read_at is None else extent.read_at.timestamp())
    return extent


def tell_no_others(tenant_ids: Iterable[str]) -> None:
    """Drop metrics of other tenants: one that left must not look like a failing desk."""
    there = set(tenant_ids)
    for gauge in (*metrics.OF_COPIES, *metrics.OF_RECONCILING):
        for tenant_id in {sample.labels["tenant_id"] for metric in gauge.collect() for sample in metric.samples}:
            if tenant_id not in there:
                gauge.remove(tenant_id)
