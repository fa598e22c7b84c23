"""Housekeeping: copies, embeddings, reconciliation, purging, ages of secrets.

The five run independently: purging continues whatever the desks do. Acceptance, workers and the relay need none of
them. One process leads, by a lock in Postgres that ends with its connection; the others wait.
"""

import asyncio
import contextlib
import os
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime

from config.secrets import own_secrets
from config.settings import HousekeepingSettings
from config.tenant_directory import TenantDirectory
from db import known_secrets
from db.known_secrets import LOOK_SECONDS, OF_PROCESS, SecretUsage
from db.schema import DatabaseUnfitError, wait_for_database
from db.session import DATABASE_FAILURES, Database, is_away, is_locked, lead
from integrations.servicedesk.clients import Desks
from jobs.inbox import Inbox
from jobs.queue import open_redis
from knowledge.embedding_sync import EmbeddingTurns
from knowledge.embeddings import Embedders
from knowledge.rounds import AT_ONCE, DeskRounds, SyncThrottles
from knowledge.sync import Copying
from observability import log_events, metrics, metrics_server, tracing
from observability.health import STUCK_EXIT, Each, Readiness, Rounds, Watchdog
from observability.logging import Outage, log_event
from observability.startup import end_loading, end_refused, start_process
from observability.tracing import Tracing
from worker.scheduler.probes import Answering
from worker.scheduler.purge import BATCH_SECONDS, purge_by_age
from worker.scheduler.reconcile import Reconciling

_ANSWER_SECONDS = 30.0
_RETRY_SECONDS = 5.0
_PURGE_SECONDS = 3600.0
_EMBED_SECONDS = 15.0
# Time for the desks to list their items, which are then no longer old.
_FIRST_PURGE_SECONDS = 5.0
# A request is given up after 10 s; the driver needs more time to give it up.
_SILENCE_SECONDS = 30.0
_LAST_LINE_SECONDS = 5.0
_LINE_SECONDS = 60.0
_MISSED_SECONDS = 1800.0

StillLeads = Callable[[], Awaitable[None]]


def run() -> int:
    """Run until SIGTERM or SIGINT, and return the exit status.

    0, or 78 with the reasons in the log. A stuck process exits with 75.
    """
    settings, tenants = start_process(HousekeepingSettings, needs="desk")
    try:
        readiness = Readiness()
        metrics_server.serve("housekeeping", settings.metrics_port, readiness)
        asyncio.run(_main(settings, tenants, readiness))
    except (metrics_server.PortError, DatabaseUnfitError) as unfit:
        end_refused([str(unfit)])
    return 0


async def _main(settings: HousekeepingSettings, tenants: TenantDirectory, readiness: Readiness) -> None:
    log_event(log_events.PROCESS_STARTING, process="Housekeeping")
    traces = Tracing("ai-agents-housekeeping", settings.traces_dir)
    database = open_database(settings.database_url)
    # The probe has its own pool, so it does not queue behind the copies. It leaves out Redis: without it, desks are
    # only called less often.
    probed = Database(settings.database_url, application_name="ai-agents housekeeping", pool_size=1)
    redis = open_redis(settings.redis_url, seconds=2)
    desks = Desks(tenants, settings, redis, connections=AT_ONCE, yields=True)
    embedders = Embedders(tenants, settings)
    leader = _Leader(settings, tenants, database, desks, Inbox(redis), embedders)
    loop = asyncio.get_running_loop()
    readiness.ask(loop, {"database": probed.ask})
    watchdog = Watchdog(
        leader.rounds,
        stuck_seconds=settings.worker_stuck_seconds,
        ask_loop=loop.call_soon_threadsafe,
        on_stuck=_end_stuck,
    )
    watchdog.start()
    work = asyncio.create_task(leader.run(readiness))
    answering = asyncio.create_task(Answering(tenants, settings, redis).run())
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, work.cancel)
    try:
        await work
    except asyncio.CancelledError:
        log_event(log_events.PROCESS_STOPPING, process="Housekeeping")
    finally:
        readiness.stop()
        watchdog.stop()
        answering.cancel()
        await asyncio.wait([answering])
        for close in (desks.close, embedders.close, redis.aclose, probed.close, database.close):
            await close()
        traces.close()
    log_event(log_events.PROCESS_STOPPED, process="Housekeeping")


def open_database(url: str) -> Database:
    # Many desks queue for few connections, and a holder may take one again first: that is no outage.
    name = "ai-agents housekeeping"
    return Database(url, application_name=name, pool_size=4, pool_seconds=_LINE_SECONDS, traced=True)


def _end_stuck(reason: str) -> None:
    """Exit at once: a stuck process ignores gentler signals."""
    # A blocked log must not delay the exit.
    threading.Timer(_LAST_LINE_SECONDS, os._exit, [STUCK_EXIT]).start()
    log_event(log_events.HOUSEKEEPING_STUCK, reason=reason)
    os._exit(STUCK_EXIT)


class RemovedTenants:
    """Tenants whose settings have been missing for half an hour, as far as queried.

    `names` returns True if a tenant has a setting, usable or not, or if that is unknown.
    """

    def __init__(self, names: Callable[[str], bool], *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._names = names
        self._monotonic = monotonic
        self._missed_since: dict[str, float] = {}

    def has_left(self, tenant_id: str) -> bool:
        if self._names(tenant_id):
            self._missed_since.pop(tenant_id, None)
            return False
        now = self._monotonic()
        return now - self._missed_since.setdefault(tenant_id, now) >= _MISSED_SECONDS


class SecretAges:
    """Ages of the `secrets` of this process and of others, by tenant and setting.

    Tenants' secrets of other processes are exported there (`db.known_secrets`).
    """

    def __init__(
        self,
        database: Database,
        secrets: Callable[[], Mapping[tuple[str, str], str]],
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._told = SecretUsage(database, secrets, monotonic=monotonic)
        self._shown: Mapping[tuple[str, str], datetime] = {}

    async def run(self, still_leads: StillLeads) -> None:
        """Look until cancelled or the lead is lost."""
        try:
            while True:
                await still_leads()
                # If the copies take all connections, the next look does it.
                with contextlib.suppress(TimeoutError):
                    await self.look()
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            # Another leader exports it from now on: two would count twice in a sum.
            self._show({})
            self._told.forget()

    async def look(self) -> None:
        """Record this process's secrets, and export all ages.

        Raises one of DATABASE_FAILURES, or TimeoutError, if the database is away.
        """
        before = self._told.since
        await self._told.look()
        try:
            with tracing.untraced():
                async with asyncio.timeout(_ANSWER_SECONDS):
                    if self._told.since is not before:
                        await known_secrets.purge(self._database)
                    of_processes = await known_secrets.last_seen(self._database, OF_PROCESS)
        except DATABASE_FAILURES as failure:
            if is_away(failure) and not is_locked(failure):
                raise
            log_event(log_events.SECRET_AGES_UNKNOWN, reason="not read", failure=failure)
            return
        own = {(OF_PROCESS, setting): known.first_seen_at for setting, known in of_processes.items()}
        self._show({**self._told.since, **own})

    def _show(self, since: Mapping[tuple[str, str], datetime]) -> None:
        # A scrape while unchanged ages are set again would find none.
        if since != self._shown:
            self._shown = since
            metrics.secret_ages(since)


class _Leader:
    """The five kinds of work, while this process leads; the watchdog observes `rounds`."""

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
        self._tenants = tenants
        self._database = database
        paces = SyncThrottles()
        self._copying = Copying(tenants, database, desks, settings.job_deadline_seconds, paces)
        self._reconciling = Reconciling(tenants, database, desks, inbox, paces, settings)
        self._embedding = EmbeddingTurns(tenants, database, embedders.of, embedders.mask_of)
        self._ages = SecretAges(database, lambda: own_secrets(settings, tenants) | tenants.secrets())
        self._left = RemovedTenants(tenants.names)
        self._purge_at: float | None = None
        self._copies, self._comparisons, self._purges = (
            Rounds(stuck_seconds=settings.worker_stuck_seconds) for _ in range(3)
        )
        self.rounds = Each(self._copies, self._comparisons, self._purges)

    async def run(self, readiness: Readiness) -> None:
        end_loading()
        await wait_for_database(self._database)
        readiness.start()
        log_event(log_events.PROCESS_READY, process="Housekeeping")
        settings, outage = self._settings, Outage(log_events.DATABASE_UNREACHABLE)
        while True:
            try:
                # Another process may lead for ever.
                self._copies.may_wait()
                async with lead(self._database, "housekeeping") as still_leads, asyncio.TaskGroup() as all_five:
                    outage.over()
                    for work in (
                        self._go_round(still_leads, self._copying, self._copies, settings.sync_interval_seconds),
                        self._go_round(
                            still_leads, self._reconciling, self._comparisons, settings.reconcile_interval_seconds
                        ),
                        self._embed(),
                        self._purge(still_leads),
                        self._ages.run(still_leads),
                    ):
                        all_five.create_task(work)
            except* (*DATABASE_FAILURES, TimeoutError) as failures:
                self._purges.may_wait()
                self._comparisons.may_wait()
                self._copies.next_within(_RETRY_SECONDS + _SILENCE_SECONDS)
                outage.seen("housekeeping waits", failures.exceptions[0])
                await asyncio.sleep(_RETRY_SECONDS)
            finally:
                await self._copying.stop()
                await self._reconciling.stop()

    async def _go_round(self, still_leads: StillLeads, work: DeskRounds, rounds: Rounds, interval: float) -> None:
        while True:
            rounds.next_within(_SILENCE_SECONDS)
            await still_leads()
            next_at = time.monotonic() + interval
            rounds.next_within(interval)
            await work.round(interval)
            pause = max(0.0, next_at - time.monotonic())
            rounds.next_within(pause)
            await asyncio.sleep(pause)

    async def _embed(self) -> None:
        # Harmless beside another leader, since the result is the same. It never fails.
        while True:
            more = await self._embedding.turn()
            await asyncio.sleep(0 if more else _EMBED_SECONDS)

    async def _purge(self, still_leads: StillLeads) -> None:
        # Kept when the lead is lost, so that a flapping lead still reaches purging.
        self._purge_at = self._purge_at or time.monotonic() + _FIRST_PURGE_SECONDS
        while True:
            pause = max(0.0, self._purge_at - time.monotonic())
            self._purges.next_within(pause)
            await asyncio.sleep(pause)
            self._purges.next_within(_SILENCE_SECONDS)
            await still_leads()
            await self._purge_all()
            self._purge_at = time.monotonic() + _PURGE_SECONDS

    async def _purge_all(self) -> None:
        with tracing.untraced():
            purged = await purge_by_age(
                self._database,
                text_days=self._settings.keep_text_days,
                job_days=self._settings.keep_jobs_days,
                audit_days={tenant.id: tenant.audit_days if tenant.usable else None for tenant in self._tenants.all()},
                has_left=self._left.has_left,
                before_each=lambda: self._purges.next_within(BATCH_SECONDS + _SILENCE_SECONDS),
                on_failure=lambda kind, failure: log_event(
                    log_events.PURGE_FAILED, what=kind, reason="refused by the database", failure=failure
                ),
            )
        metrics.purged(answers=purged.answers, copies=purged.copies, jobs=purged.jobs)
        if purged:
            log_event(log_events.PURGED, answers=purged.answers, copies=purged.copies, jobs=purged.jobs)
