"""The process `housekeeping`: recurring work of one leader for all tenants.

Sync, reconciliation, embeddings, purge, secret ages and reports run independently of each other; webhooks and jobs need
none of them. The leader holds a lock in Postgres that ends with its connection; other processes wait.
"""

import asyncio
import contextlib
import os
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from datetime import datetime

from config.secrets import own_secrets
from config.settings import HousekeepingSettings
from config.tenant_directory import TenantDirectory
from db.schema import DatabaseUnfitError, wait_for_database
from db.session import DATABASE_FAILURES, Database, is_away, is_locked, lead
from integrations.desks import Desks
from jobs.inbox import Inbox
from jobs.queue import open_redis
from knowledge.desk_tasks import MAX_CONCURRENT, DeskTasks, SyncThrottles
from knowledge.embedding_sync import EmbeddingSync
from knowledge.embeddings import Embedders
from knowledge.sync import DeskSync
from observability import log_events, metrics, metrics_server, tracing
from observability.health import STUCK_EXIT, CombinedProgress, Readiness, Rounds, Watchdog
from observability.logging import Outage, log_event
from observability.startup import abort_start, end_loading, start_process
from observability.tracing import Tracing
from privacy import secret_fingerprints
from privacy.secret_fingerprints import CHECK_SECONDS, OF_PROCESS, SecretUsage
from worker.scheduler.missed_webhooks import Reconciliation
from worker.scheduler.probes import ProbeServer
from worker.scheduler.purge import HourlyPurge
from worker.scheduler.reports import WeeklyReports
from workflow.note_followup import NoteFollowUp

_UPDATE_TIMEOUT_SECONDS = 30.0


class SecretAges:
    """Exports the ages of `secrets`, and of the secrets that processes reported."""

    def __init__(
        self,
        database: Database,
        secrets: Callable[[], Mapping[tuple[str, str], str]],
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._usage = SecretUsage(database, secrets, monotonic=monotonic)
        self._exported: Mapping[tuple[str, str], datetime] = {}

    async def run(self, check_lead: Callable[[], Awaitable[None]]) -> None:
        """Export until cancelled or until this process loses leadership."""
        try:
            while True:
                await check_lead()
                # While the sync uses all connections, wait for the next round.
                with contextlib.suppress(TimeoutError):
                    await self.update()
                await asyncio.sleep(CHECK_SECONDS)
        finally:
            # The next leader exports them.
            self._export({})
            self._usage.forget()

    async def update(self) -> None:
        """Record this process's secrets and export all ages.

        Raises one of DATABASE_FAILURES, or TimeoutError.
        """
        before = self._usage.since
        await self._usage.report_if_due()
        try:
            with tracing.untraced():
                async with asyncio.timeout(_UPDATE_TIMEOUT_SECONDS):
                    if self._usage.since is not before:  # it has just reported: a change, or an hour passed
                        await secret_fingerprints.purge(self._database)
                    of_processes = await secret_fingerprints.last_seen(self._database, OF_PROCESS)
        except DATABASE_FAILURES as failure:
            if is_away(failure) and not is_locked(failure):
                raise
            log_event(log_events.SECRET_AGES_UNKNOWN, reason="not read", failure=failure)
            return
        own = {(OF_PROCESS, setting): known.first_seen_at for setting, known in of_processes.items()}
        self._export({**self._usage.since, **own})

    def _export(self, since: Mapping[tuple[str, str], datetime]) -> None:
        # Only after a change: the metric is cleared first, and a scrape in between would get no ages.
        if since != self._exported:
            self._exported = since
            metrics.secret_ages(since)


_NAME = "ai-agents housekeeping"
_EMBED_INTERVAL_SECONDS = 15.0
_LAST_LINE_SECONDS = 5.0
_POOL_SECONDS = 60.0
_RETRY_SECONDS = 5.0
# A request times out after 10 s; the driver then needs time to cancel it.
_LEAD_CHECK_SECONDS = 30.0


def run() -> int:
    """Run until SIGTERM or SIGINT and return 0.

    Exits with 78 if the process can't start, and with 75 if it is stuck.
    """
    settings, tenants = start_process(HousekeepingSettings, needs="desk")
    try:
        readiness = Readiness()
        metrics_server.serve("housekeeping", settings.metrics_port, readiness, settings.metrics_host)
        asyncio.run(_main(settings, tenants, readiness))
    except (metrics_server.PortError, DatabaseUnfitError) as unfit:
        abort_start([str(unfit)])
    return 0


async def _main(settings: HousekeepingSettings, tenants: TenantDirectory, readiness: Readiness) -> None:
    """Open the resources, lead until a signal, and close them in reverse order."""
    log_event(log_events.PROCESS_STARTING, process="Housekeeping")
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        stack.callback(Tracing("ai-agents-housekeeping", settings.traces_dir).close)
        database = open_database(settings.database_url)
        stack.push_async_callback(database.close)
        # Readiness has its own pool, so it never waits for the sync. Redis is not checked: without it,
        # only the request rates of desks drop.
        probed = Database(settings.database_url, application_name=_NAME, pool_size=1)
        stack.push_async_callback(probed.close)
        redis = open_redis(settings.redis_url, seconds=2)
        stack.push_async_callback(redis.aclose)
        embedders = Embedders(tenants, settings)
        stack.push_async_callback(embedders.close)
        desks = Desks(tenants, settings, redis, connections=MAX_CONCURRENT, yields_to_jobs=True)
        stack.push_async_callback(desks.close)
        probe_server = asyncio.create_task(ProbeServer(tenants, settings, redis).run())
        stack.push_async_callback(_cancel, probe_server)

        leader = Leader(settings, tenants, database, desks, Inbox(redis), embedders)
        watchdog = Watchdog(
            leader.progress,
            stuck_seconds=settings.worker_stuck_seconds,
            call_in_loop=loop.call_soon_threadsafe,
            on_stuck=_exit_stuck,
        )
        watchdog.start()
        stack.callback(watchdog.stop)
        readiness.check_with(loop, {"database": probed.ping})
        stack.callback(readiness.stop)

        leading = asyncio.create_task(leader.run(readiness))
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, leading.cancel)
        try:
            await leading
        except asyncio.CancelledError:
            log_event(log_events.PROCESS_STOPPING, process="Housekeeping")
    log_event(log_events.PROCESS_STOPPED, process="Housekeeping")


def open_database(url: str) -> Database:
    # A long wait for a connection is no outage: many desks share few of them.
    return Database(url, application_name=_NAME, pool_size=4, pool_seconds=_POOL_SECONDS, traced=True)


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


def _exit_stuck(reason: str) -> None:
    """Exit at once, even if the log blocks."""
    threading.Timer(_LAST_LINE_SECONDS, os._exit, [STUCK_EXIT]).start()
    log_event(log_events.HOUSEKEEPING_STUCK, reason=reason)
    os._exit(STUCK_EXIT)


class Leader:
    """Runs the six kinds of work while this process leads.

    The watchdog observes `progress`.
    """

    def __init__(
        self,
        settings: HousekeepingSettings,
        tenants: TenantDirectory,
        database: Database,
        desks: Desks,
        inbox: Inbox,
        embedders: Embedders,
    ) -> None:
        self._settings = settings
        self._database = database
        self._sync_progress, self._reconcile_progress, purge_progress = (
            Rounds(stuck_seconds=settings.worker_stuck_seconds) for _ in range(3)
        )
        self.progress = CombinedProgress(self._sync_progress, self._reconcile_progress, purge_progress)
        throttles = SyncThrottles()
        follow_up = NoteFollowUp(database, settings.job_deadline_seconds)
        self._sync = DeskSync(tenants, database, desks, follow_up, throttles)
        self._reconciliation = Reconciliation(tenants, database, desks, inbox, throttles, settings)
        self._embedding = EmbeddingSync(tenants, database, embedders.of, embedders.mask_of)
        self._purge = HourlyPurge(settings, tenants, database, purge_progress)
        self._reports = WeeklyReports(settings, tenants, database)
        self._secret_ages = SecretAges(database, lambda: own_secrets(settings, tenants) | tenants.secrets())

    async def run(self, readiness: Readiness) -> None:
        """Wait for leadership, work until it is lost, and start over."""
        end_loading()
        await wait_for_database(self._database)
        readiness.start()
        log_event(log_events.PROCESS_READY, process="Housekeeping")
        outage = Outage(log_events.DATABASE_UNREACHABLE)
        while True:
            try:
                self._sync_progress.may_wait()  # another process may lead for ever
                async with lead(self._database, "housekeeping") as check_lead:
                    outage.over()
                    await self._work(check_lead)
            except* (*DATABASE_FAILURES, TimeoutError) as failures:
                self._purge.progress.may_wait()
                self._reconcile_progress.may_wait()
                self._sync_progress.next_within(_RETRY_SECONDS + _LEAD_CHECK_SECONDS)
                outage.seen("housekeeping waits", failures.exceptions[0])
                await asyncio.sleep(_RETRY_SECONDS)
            finally:
                await self._sync.stop()
                await self._reconciliation.stop()

    async def _work(self, check_lead: Callable[[], Awaitable[None]]) -> None:
        settings = self._settings
        async with asyncio.TaskGroup() as group:
            group.create_task(_repeat(self._sync, settings.sync_interval_seconds, check_lead, self._sync_progress))
            group.create_task(
                _repeat(self._reconciliation, settings.reconcile_interval_seconds, check_lead, self._reconcile_progress)
            )
            group.create_task(self._embed())
            group.create_task(self._purge.run(check_lead))
            group.create_task(self._secret_ages.run(check_lead))
            group.create_task(self._reports.run(check_lead))

    async def _embed(self) -> None:
        # No check of leadership: two leaders would store the same. `run_once` raises nothing.
        while True:
            more = await self._embedding.run_once()
            await asyncio.sleep(0 if more else _EMBED_INTERVAL_SECONDS)


async def _repeat(
    tasks: DeskTasks, interval: float, check_lead: Callable[[], Awaitable[None]], progress: Rounds
) -> None:
    while True:
        progress.next_within(_LEAD_CHECK_SECONDS)
        await check_lead()
        next_at = time.monotonic() + interval
        progress.next_within(interval)
        await tasks.run_round(interval)
        pause = max(0.0, next_at - time.monotonic())
        progress.next_within(pause)
        await asyncio.sleep(pause)
