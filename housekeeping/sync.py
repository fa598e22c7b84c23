"""Rounds of copying all desks: new and changed items, then the history; reports and metrics."""

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import asdict, replace
from typing import Any

from config.tenant_directory import TenantDirectory
from config.tenants import DeskSettings, Tenant
from housekeeping.desk_copy import DeskCopy, SourceSteps, Synced
from housekeeping.rounds import CopyPace, CopyPaces, DeskRounds, call_seconds
from housekeeping.solutions import SolutionSource
from housekeeping.tickets import TicketSource
from integrations.errors import OutsideFailure
from integrations.servicedesk.client import ServiceDeskPlus
from integrations.servicedesk.desks import Desks
from observability import metrics, phrases
from observability.logging import say
from storage import history, indexing, listings, passes
from storage.listings import COLLECTIONS, Extent
from storage.passes import HeldByAnother
from storage.session import Database

_MOST_INDEXED = 1000
# The longest call and a margin: after that, another process may copy this desk.
_HELD_SECONDS = 30.0
_CALLS_HELD = 4

Copy = Callable[[str, DeskSettings, float], Awaitable[Synced]]


class Copying(DeskRounds):
    """The copies under way; `stop()` it.

    `copy` is `Copies.copy`, for a tenant's id, its desk, and a number of seconds.
    """

    span = "Sync"
    failure_phrase = phrases.SYNC_FAILED

    def __init__(self, tenants: TenantDirectory, copy: Copy, **limits: Any) -> None:
        super().__init__(tenants, **limits)
        self._copy = copy

    async def round(self, seconds: float) -> None:
        tell_no_others(tenant.id for tenant in self._tenants.all() if tenant.desk is not None)
        await super().round(seconds)

    async def work(self, tenant: Tenant, desk: DeskSettings, seconds: float) -> None:
        try:
            synced = await self._copy(tenant.id, desk, seconds)
        except HeldByAnother:
            say(phrases.SYNC_LEFT_OUT, tenant_id=tenant.id)
            return
        result = "completed" if synced.with_solutions else "without solutions"
        metrics.SYNCS.labels(tenant.id, result).inc()
        metrics.SYNCED_AT.labels(tenant.id).set_to_current_time()
        say(phrases.SYNC_COMPLETED, {"tenant_id": tenant.id, **asdict(synced)})

    def failed(
        self, tenant_id: str, reason: str, failure: Exception | None = None, also: Mapping[str, object] | None = None
    ) -> None:
        super().failed(tenant_id, reason, failure, also)
        metrics.SYNCS.labels(tenant_id, "failed").inc()


class Copies:
    """Copies of all tenants' desks, each with its own pace across rounds."""

    def __init__(
        self,
        tenants: TenantDirectory,
        database: Database,
        desks: Desks,
        job_deadline_seconds: int,
        paces: CopyPaces | None = None,
    ) -> None:
        self._tenants = tenants
        self._database = database
        self._desks = desks
        self._deadline = job_deadline_seconds
        self._paces = paces or CopyPaces()

    async def copy(self, tenant_id: str, desk: DeskSettings, seconds: float) -> Synced:
        def tenant() -> Tenant:
            # A tenant that has just left has no desk to copy.
            return self._tenants.get(tenant_id) or Tenant(tenant_id)

        pace = self._paces.of(tenant_id, desk.rate_per_minute)
        about = (self._database, self._desks.of(tenant_id), tenant, desk)
        return await sync_tenant(*about, seconds=seconds, pace=pace, job_deadline_seconds=self._deadline)


async def sync_tenant(
    database: Database,
    desk: ServiceDeskPlus,
    tenant: Callable[[], Tenant],
    settings: DeskSettings,
    *,
    seconds: float,
    pace: CopyPace,
    job_deadline_seconds: int,
    monotonic: Callable[[], float] = time.monotonic,
) -> Synced:
    """Copy new and changed items, and go on with the history, for about `seconds`.

    `tenant` returns the current settings. A failure of one item is logged, and the others are copied. Raises
    OutsideFailure, HeldBack or HeldByAnother, or one of DATABASE_FAILURES; earlier copies stay, and the next round
    resumes there. A desk that returns its lists and nothing else has failed too.
    """
    until = monotonic() + seconds
    tenant_id = tenant().id
    async with passes.held(database, tenant_id, _HELD_SECONDS + _CALLS_HELD * call_seconds(settings)) as holder:
        copy = DeskCopy(database, desk, tenant, settings, pace, holder, job_deadline_seconds)
        # From stored kinds, whatever the desk answers.
        copy.synced.removed += await history.remove_forbidden(database, tenant_id, copy.rules.forbidden)
        copy.synced.removed += await history.remove_expired(database, tenant_id)
        await tell_extent(database, tenant_id)
        await _newest(copy)
        await indexing.index_again(database, tenant_id, copy.languages, _MOST_INDEXED)
        steps = [SourceSteps(copy, TicketSource(copy)), SourceSteps(copy, SolutionSource(copy))]
        while steps and monotonic() < until:
            steps = [each for each in steps if await each.go_on()]
    extent = await tell_extent(database, tenant_id)
    if copy.gave_up is not None and not copy.given:
        raise copy.gave_up
    return replace(copy.synced, to_read=extent.to_read, done=not steps)


async def _newest(copy: DeskCopy) -> None:
    tickets, where = TicketSource(copy), (copy.database, copy.tenant_id)
    state = await tickets.newest(await passes.load(*where, "t"))
    try:
        state = await tickets.changed(state)
    except OutsideFailure as failure:
        # If more than this list fails, the next call reports it.
        say(phrases.SYNC_FAILED, tenant_id=copy.tenant_id, reason=failure.reason, also=failure.also)
    await passes.save(*where, "t", state, copy.holder.id)
    for collection in COLLECTIONS:
        state, digest = await passes.load(*where, collection), copy.rules_digest(collection)
        if state.rules != digest:
            await listings.read_what_was_left_out(*where, collection)
            await passes.save(*where, collection, replace(state, rules=digest), copy.holder.id)


async def tell_extent(database: Database, tenant_id: str) -> Extent:
    """Export and return how much of a desk is copied. Raises one of DATABASE_FAILURES."""
    extent = await listings.extent(database, tenant_id)
    metrics.COPIED_TICKETS.labels(tenant_id).set(extent.tickets)
    metrics.COPIES_TO_READ.labels(tenant_id).set(extent.to_read)
    moments = {
        metrics.OLDEST_COPY_SEEN_AT: extent.oldest_seen,
        metrics.COPIES_REACH: extent.reaches_back_to,
    }
    for gauge, moment in moments.items():
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
