"""Reconciliation rounds: find missed webhooks and removed notes of each desk.

A new ticket without a job has a missed webhook, which is logged and counted. With `reconcile = "on"`, or for a polled
desk, its job is created.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from statistics import median_low
from typing import Any

from config.settings import HousekeepingSettings
from config.tenant_directory import TenantDirectory
from config.tenants import KINDS, DeskSettings, Tenant
from db.session import Database
from integrations.desks import Desks
from integrations.errors import ExternalError, TicketGoneError
from integrations.ports import DeskClient
from integrations.values import ListedTicket, is_number
from jobs import missed_webhooks
from jobs.inbox import Inbox
from jobs.intake import RecoveryReason, recover_job
from jobs.missed_webhooks import ComparisonProgress, NewTicket, PostedNote
from jobs.queue import QueueUnavailableError
from jobs.repository import has_room
from knowledge.desk_tasks import DeskTasks, SyncThrottles
from knowledge.sources import is_item_failure
from observability import log_events, metrics
from observability.identifiers import bound, other_ticket_ids
from observability.logging import log_event
from privacy import tombstones
from workflow.note import is_note_of

_RESULTS = ("missed", "recovered", "note removed", "reopened")
# A ticket that is still without a job in the next round is overdue. With the whole interval, slightly different clocks
# or a late round would postpone this by a round.
_INTERVAL_SHARE = 0.75
_MAX_OVERDUE = 1000
# Limit per round of tickets read one by one, because the desk's list lacks fields that the tenant's rules need.
_MAX_READ = 20
MAX_PAGES = 10
# Overlap of two comparisons: a desk may list a ticket after a newer one.
_OVERLAP = timedelta(minutes=15)
# Rows of the previous page: a ticket that disappears meanwhile must not hide another one.
_ROWS_REPEATED = 5
_NEWEST_NUMBERS = 5
# A creation time further ahead of the desk's clock is wrong.
MAX_AHEAD = timedelta(days=1)
MAX_CHECKED_NOTES = 2
"""Notes checked in a round, the newest ones."""
# Age of a note at its check: a technician has seen it by then, and removed it if it is unwanted.
_SETTLED = timedelta(minutes=15)

Listed = dict[str, tuple[ListedTicket, datetime]]
"""Listed tickets by id, with the time of each."""


class Reconciliation(DeskTasks):
    """Reconciliation of each desk with its jobs; its calls share the sync's rate."""

    span = "Reconcile"
    failure_phrase = log_events.RECONCILE_FAILED

    def __init__(
        self,
        tenants: TenantDirectory,
        database: Database,
        desks: Desks,
        inbox: Inbox,
        throttles: SyncThrottles,
        settings: HousekeepingSettings,
        **limits: Any,
    ) -> None:
        super().__init__(tenants, **limits)
        self._database = database
        self._desks = desks
        self._inbox = inbox
        self._throttles = throttles
        self._expected: set[str] = set()
        # At most half the retention of jobs (in hours): a ticket whose job was purged must not count as missed, and a
        # ticket looks younger than its job if the desk's clock is ahead.
        hours = min(settings.reconcile_window_hours, settings.keep_jobs_days * 12)
        self._window = timedelta(hours=hours)
        self._interval = timedelta(seconds=settings.reconcile_interval_seconds)
        self._deadline = settings.job_deadline_seconds

    async def run_round(self, seconds: float) -> None:
        self._expected &= {tenant.id for tenant in self._tenants.all() if tenant.desk is not None}
        await super().run_round(seconds)

    async def run_for(self, tenant: Tenant, desk: DeskSettings, seconds: float) -> None:
        until = time.monotonic() + seconds
        self._expect(tenant.id)
        wait_turn = self._throttles.of(tenant.id, desk).wait
        database, client = self._database, self._desks.of(tenant.id)
        current = partial(self._tenants.get, tenant.id)
        limits = (self._interval, self._window, self._deadline)
        missed = MissedTickets(database, client, self._inbox, tenant, current, wait_turn, *limits)
        try:
            if not_compared := await missed.find():
                log_event(log_events.RECONCILE_INCOMPLETE, tenant_id=tenant.id, reason=not_compared)
            await missed.recover(until)
            # Last: a failed round must not count as a complete comparison.
            await missed_webhooks.mark_compared(database, tenant.id)
        finally:
            # Also while the desk's API is down: outdated figures would raise an alarm.
            await self._report(tenant)
        if state := await missed_webhooks.load(database, tenant.id):
            await report_removed_notes(database, client, tenant.id, wait_turn, after=state.notes_until, now=state.now)

    def _expect(self, tenant_id: str) -> None:
        if tenant_id not in self._expected:
            self._expected.add(tenant_id)
            for result in _RESULTS:
                metrics.RECONCILE_FOUND.labels(tenant_id, result)
            metrics.RECONCILED_AT.labels(tenant_id).set_to_current_time()

    async def _report(self, tenant: Tenant) -> None:
        figures = await missed_webhooks.figures(self._database, tenant.id)
        if figures is None:
            return
        # From the database, so that every leader exports the same.
        metrics.RECONCILED_AT.labels(tenant.id).set(figures.compared_at.timestamp())
        metrics.MISSED_TICKETS.labels(tenant.id).set(0 if tenant.polled else figures.missed)
        metrics.MISSED_SINCE_WEBHOOK.labels(tenant.id).set(0 if tenant.polled else figures.since_webhook)
        if figures.last_webhook_at is not None:
            metrics.LAST_WEBHOOK_AT.labels(tenant.id).set(figures.last_webhook_at.timestamp())
        found = await missed_webhooks.take_findings(self._database, tenant.id)
        if found is not None and any(found[1:]):
            since = f"{found.since:%Y-%m-%dT%H:%M:%SZ}"
            log_event(log_events.RECONCILED, {"tenant_id": tenant.id, **found._asdict(), "since": since})

    async def stop(self) -> None:
        await super().stop()
        self._expected.clear()
        for gauge in metrics.OF_RECONCILING:
            gauge.clear()


@dataclass(slots=True)
class MissedTickets:
    """Missed tickets of one desk in one round.

    `current` returns the tenant's current settings, None if it was removed; `wait_turn` waits for the desk's rate. Each
    step raises the desk's failures or one of DATABASE_FAILURES, and the next round resumes there.
    """

    database: Database
    desk: DeskClient
    inbox: Inbox
    tenant: Tenant
    current: Callable[[], Tenant | None]
    wait_turn: Callable[[], Awaitable[None]]
    interval: timedelta
    """A webhook that takes longer counts as missed."""
    window: timedelta
    """Older tickets are ignored."""
    job_deadline_seconds: int

    async def find(self) -> str:
        """Record new tickets without a job; return why some were not compared, or "".

        A new tenant is compared from now on: its existing tickets are ignored.
        """
        state = await missed_webhooks.load(self.database, self.tenant.id)
        if state is None:
            first_page_only = datetime.max.replace(tzinfo=UTC)
            listed, not_compared = await list_new(self.desk, self.wait_turn, first_page_only)
            now = datetime.now(UTC)
            newest = _newest_by(now, listed)
            # If the newest may be missing, nothing before this moment counts.
            newest = max(newest or now, now) if not_compared else newest
            await missed_webhooks.begin(self.database, self.tenant.id, newest)
            return not_compared
        oldest = max(state.since, state.now - self.window)
        until = max(state.compared_until - _OVERLAP, oldest)
        listed, not_compared = await list_new(self.desk, self.wait_turn, until)
        latest = state.now + state.ahead + MAX_AHEAD
        new = [(each, at) for each, at in listed.values() if oldest <= at <= latest and at > state.since]
        tickets = await self._without_forgotten(
            [self._new_ticket(*each) for each in new if self._may_be_wanted(each[0])]
        )
        compared_until = max((at for _, at in listed.values()), default=state.compared_until)
        await missed_webhooks.compare(self.database, self.tenant.id, tickets, seen_at=state.now, until=compared_until)
        await self._count_overdue(state)
        return not_compared

    def _may_be_wanted(self, listed: ListedTicket) -> bool:
        # Only numbers may appear in log lines and addresses, as for webhooks.
        return is_number(listed.ticket_id) and not listed.is_trashed and not self.tenant.rules.excludes(listed.kinds)

    def _new_ticket(self, listed: ListedTicket, created_at: datetime) -> NewTicket:
        needed = {kind for kind in KINDS if kind != "event" and self.tenant.rules.depends_on(kind)}
        return NewTicket(listed.ticket_id, listed.display_id or None, created_at, needed <= listed.kinds.keys())

    async def _without_forgotten(self, tickets: Sequence[NewTicket]) -> list[NewTicket]:
        numbers = set().union(*(each.numbers for each in tickets))
        forgotten = await tombstones.forgotten_among(self.database, self.tenant.id, numbers) if numbers else set()
        if forgotten:
            gone = [each.ticket_id for each in tickets if not forgotten.isdisjoint(each.numbers)]
            await missed_webhooks.forget(self.database, self.tenant.id, gone)
        return [each for each in tickets if forgotten.isdisjoint(each.numbers)]

    async def _count_overdue(self, state: ComparisonProgress) -> None:
        patience = timedelta() if self.tenant.polled else self.interval * _INTERVAL_SHARE
        limits = {"before": state.now - patience, "oldest": state.now - self.window}
        tickets = await missed_webhooks.overdue(self.database, self.tenant.id, **limits, most=_MAX_OVERDUE)
        if not tickets:
            return
        try:
            in_redis = {event.ticket_id for event in await self.inbox.of_tenant(self.tenant.id)}
        except QueueUnavailableError:
            return  # a webhook may wait there
        reads = 0
        for ticket in await self._without_forgotten(tickets):
            if not in_redis.isdisjoint(ticket.numbers):
                continue
            if not ticket.is_complete:
                reads += 1
                if reads > _MAX_READ or not await self._is_wanted(ticket):
                    continue
            await self._count(ticket)

    async def _is_wanted(self, ticket: NewTicket) -> bool:
        await self.wait_turn()
        try:
            found = await self.desk.read_ticket(ticket.ticket_id)
            if not self.tenant.rules.excludes(found.kinds):
                return True
        except TicketGoneError:
            await missed_webhooks.forget(self.database, self.tenant.id, [ticket.ticket_id])
            return False
        except ExternalError as failure:
            if not is_item_failure(failure):
                raise
        await missed_webhooks.leave_out(self.database, self.tenant.id, ticket.ticket_id)
        return False

    async def _count(self, ticket: NewTicket) -> None:
        tenant, missed = self.tenant, not self.tenant.polled
        if (
            await missed_webhooks.mark_missed(self.database, tenant.id, ticket.ticket_id, was_expected=missed)
            and missed
        ):
            metrics.RECONCILE_FOUND.labels(tenant.id, "missed").inc()
            log_event(
                log_events.WEBHOOK_MISSED,
                ticket_id=ticket.ticket_id,
                tenant_id=tenant.id,
                created=f"{ticket.created_at:%Y-%m-%dT%H:%M:%SZ}",
                reconcile="on" if tenant.recovers else "report",
                also=other_ticket_ids(ticket.ticket_id, None, ticket.display_id),
            )

    async def recover(self, until: float, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Create the jobs of missed tickets until `until` (monotonic), oldest first.

        MAX_RECOVERED_PER_MINUTE and the tenant's limit of waiting jobs apply. With `reconcile = "report"` only webhooks
        refused with 429 are recovered: the desk did send them.
        """
        database, tenant_id = self.database, self.tenant.id
        while started := self.current():
            cause: RecoveryReason = "webhook missed" if started.recovers else "webhook refused with 429"
            oldest = datetime.now(UTC) - self.window
            batch = await missed_webhooks.to_recover(database, tenant_id, oldest, only_refused=not started.recovers)
            for ticket in await self._without_forgotten(batch.tickets):
                # Read for each ticket: a change of these settings takes effect at once.
                tenant = self.current()
                if tenant is None or tenant.recovers != started.recovers:
                    return
                if not await has_room(database, tenant_id, tenant.share.most_waiting):
                    return
                reason = "polled" if tenant.polled else cause
                if await recover_job(database, tenant_id, ticket, reason, self.job_deadline_seconds):
                    metrics.RECONCILE_FOUND.labels(tenant_id, "recovered").inc()
            if batch.more_in is None or time.monotonic() + batch.more_in >= until:
                return
            await sleep(batch.more_in)


async def list_new(desk: DeskClient, wait_turn: Callable[[], Awaitable[None]], until: datetime) -> tuple[Listed, str]:
    """Return the tickets created since `until`, and why some may be missing, or "".

    `wait_turn` is awaited before each call. Whole pages are returned, and always the first: a desk's clock that was set
    back hides no ticket of it.
    """
    listed: Listed = {}
    start, last, in_order = 1, None, True
    for _ in range(MAX_PAGES):
        await wait_turn()
        page = await desk.list_tickets(start)
        fresh = [each for each in page.items if each.ticket_id not in listed]
        # A ticket without a time does not exclude the others.
        timed = {each.ticket_id: (each, each.created_at) for each in fresh if each.created_at is not None}
        if fresh and not timed:
            return listed, "its list has no times"
        listed |= timed
        moments = [at for _, at in timed.values()]
        in_order = in_order and moments == sorted(moments, reverse=True) and (last is None or moments[:1] <= [last])
        last = moments[-1] if moments else last
        if not page.has_more or (in_order and last is not None and last < until):
            return listed, ""
        if not fresh:
            return listed, "its list repeats itself"
        start += max(1, len(page.items) - _ROWS_REPEATED)
    return listed, "more are new than are listed" if in_order else "its list is in no order"


def _newest_by(now: datetime, listed: Listed) -> datetime | None:
    """Return the newest creation time, ignoring wrong ones; None if there is none.

    A time is wrong if it is more than MAX_AHEAD ahead of both `now` and the desk's clock. A desk numbers its tickets
    in order, so the median time of the highest numbers is its clock.
    """
    numbered = sorted((int(ticket_id), at) for ticket_id, (_, at) in listed.items() if is_number(ticket_id))
    last = [at for _, at in numbered[-_NEWEST_NUMBERS:]]
    latest = max([now, *([median_low(last)] if last else [])]) + MAX_AHEAD
    return max((at for _, at in listed.values() if at <= latest), default=None)


async def report_removed_notes(
    database: Database,
    desk: DeskClient,
    tenant_id: str,
    wait_turn: Callable[[], Awaitable[None]],
    *,
    after: datetime,
    now: datetime,
) -> None:
    """Check the newest notes of jobs that ended since `after`, and log removed ones.

    At most MAX_CHECKED_NOTES are checked, each once; the others are skipped for good. Raises the desk's failures, or
    one of DATABASE_FAILURES.
    """
    until = now - _SETTLED
    for job in await missed_webhooks.posted_notes(database, tenant_id, after, until, most=MAX_CHECKED_NOTES):
        with bound(ticket_id=job.ticket_id, job_id=str(job.job_id)):
            removed = await _is_removed(desk, job, wait_turn)
            # After each note, so that a failure at the next one causes no second report.
            await missed_webhooks.mark_notes_checked(database, tenant_id, job.finished_at, removed=removed)
            if removed:
                metrics.RECONCILE_FOUND.labels(tenant_id, "note removed").inc()
                log_event(log_events.NOTE_REMOVED, job_id=job.job_id, ticket_id=job.ticket_id)
    await missed_webhooks.mark_notes_checked(database, tenant_id, until)


async def _is_removed(desk: DeskClient, job: PostedNote, wait_turn: Callable[[], Awaitable[None]]) -> bool:
    is_ours = partial(is_note_of, job.job_id)
    await wait_turn()
    try:
        if await desk.has_note(job.desk_id, job.note_id, is_ours):
            return False  # one call in the normal case
        # The note may have another id, or its ticket is gone too.
        await wait_turn()
        await desk.read_ticket(job.desk_id)
        await wait_turn()
        return await desk.find_note(job.desk_id, is_ours, job.note_attempted_at) is None
    except TicketGoneError:
        return False
    except ExternalError as failure:
        if not is_item_failure(failure):
            raise
        return False
