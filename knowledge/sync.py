"""Sync of all desks in rounds, with log lines and metrics."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import Any

from config.tenant_directory import TenantDirectory
from config.tenants import DeskSettings, Tenant
from db.session import DATABASE_FAILURES, Database, is_away, is_locked
from integrations.desks import Desks
from integrations.errors import DeferredError, ExternalError
from integrations.ports import DeskClient
from knowledge import repository, sync_repository
from knowledge.desk_tasks import DeskTasks, SyncThrottle, SyncThrottles, call_seconds
from knowledge.sources import (
    UNSEEN_HOURS,
    RecordedPage,
    SolutionSource,
    SyncResult,
    SyncRun,
    TicketFollowUp,
    TicketSource,
    is_item_failure,
)
from knowledge.sync_repository import COLLECTIONS, Extent, HeldByAnotherError, PassState
from observability import log_events, metrics
from observability.identifiers import bound
from observability.logging import log_event

_MAX_INDEXED = 1000
_MIN_INTERVAL = timedelta(hours=1)
_MAX_INTERVAL = timedelta(hours=UNSEEN_HOURS)
_SHARE_OF_CALLS = 20
_ROWS_A_PAGE = 100
# A pass with more consecutive pages without a new item ends as incomplete.
_MAX_FRUITLESS = 2
# After more consecutive failures, no more items are read in this sync.
_MAX_FAILED_IN_A_ROW = 3
_QUEUE_SIZE = 100
# Items read after each listed page, so that reading keeps up with listing.
_READS_A_PAGE = 4
_NAMES = {"t": "ticket_id", "p": "solution_id"}
# The longest call and a margin: after that, another process may copy this desk.
_LEASE_SECONDS = 30.0
_CALLS_LEASED = 4


class DeskSync(DeskTasks):
    """Sync of all desks; the caller must `stop()` it."""

    span = "Sync"
    failure_phrase = log_events.SYNC_FAILED

    def __init__(
        self,
        tenants: TenantDirectory,
        database: Database,
        desks: Desks,
        follow_up: TicketFollowUp,
        throttles: SyncThrottles | None = None,
        **limits: Any,
    ) -> None:
        super().__init__(tenants, **limits)
        self._database = database
        self._desks = desks
        self._follow_up = follow_up
        self._throttles = throttles or SyncThrottles()

    async def run_round(self, seconds: float) -> None:
        """Drop metrics of removed tenants; then run a round, see `DeskTasks.run_round`."""
        drop_other_tenants(tenant.id for tenant in self._tenants.all() if tenant.desk is not None)
        await super().run_round(seconds)

    async def run_for(self, tenant: Tenant, desk: DeskSettings, seconds: float) -> None:
        try:
            result = await self.sync(tenant.id, desk, seconds)
        except HeldByAnotherError:
            log_event(log_events.SYNC_LEFT_OUT, tenant_id=tenant.id)
            return
        label = "completed" if result.with_solutions else "without solutions"
        metrics.SYNCS.labels(tenant.id, label).inc()
        metrics.SYNCED_AT.labels(tenant.id).set_to_current_time()
        log_event(log_events.SYNC_COMPLETED, {"tenant_id": tenant.id, **asdict(result)})

    def log_failure(
        self, tenant_id: str, reason: str, failure: Exception | None = None, also: Mapping[str, object] | None = None
    ) -> None:
        super().log_failure(tenant_id, reason, failure, also)
        metrics.SYNCS.labels(tenant_id, "failed").inc()

    async def sync(self, tenant_id: str, desk: DeskSettings, seconds: float) -> SyncResult:
        """Sync one tenant's desk for at most about `seconds`."""

        def tenant() -> Tenant:
            # A tenant that was just removed has no desk to sync.
            return self._tenants.get(tenant_id) or Tenant(tenant_id)

        return await sync_tenant(
            self._database,
            self._desks.of(tenant_id),
            tenant,
            desk,
            seconds=seconds,
            throttle=self._throttles.of(tenant_id, desk),
            follow_up=self._follow_up,
        )


async def sync_tenant(
    database: Database,
    desk: DeskClient,
    tenant: Callable[[], Tenant],
    settings: DeskSettings,
    *,
    seconds: float,
    throttle: SyncThrottle,
    follow_up: TicketFollowUp,
    monotonic: Callable[[], float] = time.monotonic,
) -> SyncResult:
    """Copy new and changed items, and continue with the history, for about `seconds`.

    `tenant` returns the current settings. Raises ExternalError, DeferredError or HeldByAnotherError, or one of
    DATABASE_FAILURES; the next round resumes there. Also raises the last error if the desk returned lists but no item.
    """
    until = monotonic() + seconds
    tenant_id = tenant().id
    async with sync_repository.desk_lease(
        database, tenant_id, _LEASE_SECONDS + _CALLS_LEASED * call_seconds(settings)
    ) as lease:
        run = SyncRun(database, desk, tenant, settings, throttle, lease, follow_up)
        # Uses stored kinds, so that it works while the desk is down.
        run.result.removed += await repository.remove_forbidden(database, tenant_id, run.rules.forbidden)
        run.result.removed += await repository.remove_expired(database, tenant_id)
        await export_extent(database, tenant_id)
        await _sync_newest(run)
        await repository.index_again(database, tenant_id, run.languages, _MAX_INDEXED)
        sources = [SourceSync(run, TicketSource(run)), SourceSync(run, SolutionSource(run))]
        while sources and monotonic() < until:
            sources = [source for source in sources if await source.step()]
    extent = await export_extent(database, tenant_id)
    if run.last_failure is not None and not run.items_read:
        raise run.last_failure
    return replace(run.result, to_read=extent.to_read, done=not sources)


async def _sync_newest(run: SyncRun) -> None:
    tickets, key = TicketSource(run), (run.database, run.tenant_id)
    state = await tickets.record_newest(await sync_repository.load_pass(*key, "t"))
    try:
        state = await tickets.record_changed(state)
    except ExternalError as failure:
        # If the whole desk fails, not only this list, the next call reports it.
        log_event(log_events.SYNC_FAILED, tenant_id=run.tenant_id, reason=failure.reason, also=failure.also)
    await sync_repository.save_pass(*key, "t", state, run.lease.id)
    for collection in COLLECTIONS:
        state, digest = await sync_repository.load_pass(*key, collection), run.rules_digest(collection)
        if state.rules != digest:
            await sync_repository.schedule_uncopied(*key, collection)
            await sync_repository.save_pass(*key, collection, replace(state, rules=digest), run.lease.id)


class SourceSync:
    """The steps of one source in one sync: pages of its lists, and single items.

    A pass over all pages resumes at the page that the last process reached. Items missing in two passes, an hour apart,
    are deleted. New or changed items are read one by one, latest change first.
    """

    def __init__(self, run: SyncRun, source: TicketSource | SolutionSource) -> None:
        self._run = run
        self._source = source
        self._key = (run.database, run.tenant_id, source.collection)
        self._can_list = True
        self._fruitless = 0
        self._last_ids: Sequence[str] = ()
        self._failed_in_a_row = 0
        self._next: deque[str] = deque()

    async def step(self) -> bool:
        """List a page and read some items; return False if there was nothing to do."""
        listed = await self._list()
        return bool(await self._read_batch()) or listed

    async def _list(self) -> bool:
        try:
            return self._can_list and await self._list_page()
        except ExternalError as failure:
            self._can_list, self._run.result.stopped = False, failure.reason
            refused = self._source.collection == "p" and not self._run.result.with_solutions
            phrase = log_events.SOLUTIONS_REFUSED if refused else log_events.SYNC_FAILED
            log_event(phrase, tenant_id=self._run.tenant_id, reason=failure.reason, also=failure.also)
        return False

    async def _list_page(self) -> bool:
        state = await sync_repository.load_pass(*self._key)
        if not self._is_due(state):
            return False
        if state.began_at is None:
            state = state.begun()
        began_at = state.began_at or state.now
        page = await self._source.record_page(state.next_start, began_at)
        repeated = page.ids == self._last_ids or (page.kept > 0 and page.new == 0)
        self._fruitless, self._last_ids = (self._fruitless + 1 if repeated else 0), page.ids
        after = _advanced(state, page)
        if reason := await self._incomplete_reason(page, after, began_at):
            # An incomplete pass does not prove that the items that it did not list are deleted.
            self._run.result.stopped = reason
            after = after.ended()
        elif not page.has_more or self._rest_is_old(state, page, after):
            after = await self._complete(after, began_at)
        await sync_repository.save_pass(*self._key, after, self._run.lease.id)
        return True

    async def _incomplete_reason(self, page: RecordedPage, after: PassState, began_at: datetime) -> str:
        if self._fruitless > _MAX_FRUITLESS:
            return "its list repeats itself"
        if not page.ids and page.has_more:
            return "its list has an empty page"
        # An empty list of tickets: our key may have lost its permission.
        is_empty = after.next_start == 1 and self._source.collection == "t"
        return "its list is empty" if is_empty and await sync_repository.count_missing(*self._key, began_at) else ""

    def _is_due(self, state: PassState) -> bool:
        if state.began_at is not None or state.ended_at is None:
            return True
        if state.now - state.ended_at < _MIN_INTERVAL:
            return False
        if state.missing or state.complete_from is None:
            return True
        # Long passes are repeated less often, so that passes use a twentieth of the calls.
        took = state.next_start / _ROWS_A_PAGE * call_seconds(self._run.settings)
        return state.now - state.complete_from >= min(_MAX_INTERVAL, timedelta(seconds=_SHARE_OF_CALLS * took))

    def _rest_is_old(self, state: PassState, page: RecordedPage, after: PassState) -> bool:
        """Return True if a list, sorted newest first, has reached items that are too old."""
        # A list that begins with old items does not count as sorted newest first, even if all have the same time.
        oldest, last = self._run.oldest, after.last_created
        newer = [created for created in (state.last_created, *page.created) if created is not None]
        return after.in_order and last is not None and last < oldest <= max(newer)

    async def _complete(self, state: PassState, began_at: datetime) -> PassState:
        state = replace(state, now=(await sync_repository.load_pass(*self._key)).now)
        complete_from, complete_at = state.complete_from, state.complete_at
        if complete_from is not None and complete_at is not None and began_at - complete_at >= _MIN_INTERVAL:
            self._run.result.removed += await sync_repository.remove_unlisted(*self._key, complete_from)
        self._run.result.removed += await sync_repository.remove_older(*self._key, self._run.oldest)
        return state.ended(await sync_repository.count_missing(*self._key, began_at))

    async def _read_batch(self) -> int:
        """Read a few items; return their number, 0 after several failures in a row.

        A failure of one item is logged. The item is read again after an hour, or after UNSEEN_HOURS if the desk refused
        it.
        """
        if self._failed_in_a_row > _MAX_FAILED_IN_A_ROW:
            return 0
        if not self._next:
            # A large batch: until a vacuum, each query has to skip the index entries of rows just read.
            self._next.extend(await sync_repository.next_to_read(*self._key, _QUEUE_SIZE))
        items = [self._next.popleft() for _ in range(min(_READS_A_PAGE, len(self._next)))]
        for item_id in items:
            with bound(**{_NAMES[self._source.collection]: item_id}):
                failure = await self._read(item_id)
            if failure is not None and self._failed_in_a_row > _MAX_FAILED_IN_A_ROW:
                if not is_item_failure(failure):
                    raise failure
                self._run.last_failure = failure
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
            log_event(log_events.SYNC_FAILED, tenant_id=self._run.tenant_id, reason=failure.reason, also=failure.also)
        except DATABASE_FAILURES as refusal:
            if is_away(refusal) and not is_locked(refusal):
                raise
            log_event(
                log_events.SYNC_FAILED, tenant_id=self._run.tenant_id, reason="could not be stored", failure=refusal
            )
        except Exception as odd:  # noqa: BLE001 -- one odd ticket must not end the copying of all the others
            log_event(log_events.SYNC_FAILED, tenant_id=self._run.tenant_id, reason="unexpected failure", failure=odd)
        else:
            self._run.items_read += 1
            self._failed_in_a_row = 0
            return None
        is_refused = failure is not None and is_item_failure(failure)
        await sync_repository.postpone(*self._key, item_id, hours=UNSEEN_HOURS if is_refused else 1)
        if is_refused:
            self._run.result.refused += 1
            if self._source.collection == "t":
                # The ticket may have moved to a forbidden group: without kinds, the search excludes its copy.
                await repository.hide_kinds(*self._key[:2], item_id)
        return failure


def _advanced(state: PassState, page: RecordedPage) -> PassState:
    last, in_order = state.last_created, state.in_order
    for created in page.created:
        in_order = in_order and created is not None and (last is None or created <= last)
        last = created
    return replace(state, next_start=state.next_start + len(page.ids), last_created=last, in_order=in_order)


async def export_extent(database: Database, tenant_id: str) -> Extent:
    extent = await sync_repository.extent(database, tenant_id)
    metrics.COPIED_TICKETS.labels(tenant_id).set(extent.tickets)
    metrics.COPIES_TO_READ.labels(tenant_id).set(extent.to_read)
    moments = ((metrics.OLDEST_COPY_SEEN_AT, extent.oldest_seen), (metrics.COPIES_REACH, extent.reaches_back_to))
    for gauge, moment in moments:
        gauge.labels(tenant_id).set(time.time() if moment is None else moment.timestamp())
    # A desk that never returned anything must not look freshly read.
    metrics.COPY_READ_AT.labels(tenant_id).set(0 if extent.read_at is None else extent.read_at.timestamp())
    return extent


def drop_other_tenants(tenant_ids: Iterable[str]) -> None:
    """Drop metrics of removed tenants, which would look like failing desks."""
    known = set(tenant_ids)
    for gauge in (*metrics.OF_COPIES, *metrics.OF_RECONCILING):
        for tenant_id in {sample.labels["tenant_id"] for metric in gauge.collect() for sample in metric.samples}:
            if tenant_id not in known:
                gauge.remove(tenant_id)
