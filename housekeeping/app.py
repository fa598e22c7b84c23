"""Housekeeping: copies, embeddings, reconciliation, purging, ages of secrets.

The five run independently: purging continues whatever the desks do. Acceptance, workers and the relay need none of
them. One process leads, by a lock in Postgres that ends with its connection; the others wait.
"""

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable

from config.own_secrets import own_secrets
from config.settings import HousekeepingSettings
from config.tenant_directory import TenantDirectory
from dispatch.inbox import Inbox
from dispatch.queue import open_redis
from housekeeping.answering import Answering
from housekeeping.copying import Copying
from housekeeping.desk_rounds import AT_ONCE, DeskRounds
from housekeeping.embedding import EmbeddingTurns
from housekeeping.left import TenantsLeft
from housekeeping.pace import CopyPaces
from housekeeping.reconciling import Reconciling
from housekeeping.secret_ages import SecretAges
from housekeeping.sync import Copies
from integrations.embeddings import Embedders
from integrations.servicedesk.desks import Desks
from observability import counting, exposition, phrases, tracing
from observability.logging import say
from observability.outage import Outage
from observability.readiness import Readiness
from observability.start import end_loading, end_refused, start_process
from observability.tracing import Tracing
from observability.watchdog import STUCK_EXIT, Each, Rounds, Watchdog
from storage.leader import lead
from storage.purging import BATCH_SECONDS, purge_by_age
from storage.schema import DatabaseUnfit, wait_for_database
from storage.session import DATABASE_FAILURES, Database

_RETRY_SECONDS = 5.0
_PURGE_SECONDS = 3600.0
_EMBED_SECONDS = 15.0
# Time for the desks to list their items, which are then no longer old.
_FIRST_PURGE_SECONDS = 5.0
# A request is given up after 10 s; the driver needs more time to give it up.
_SILENCE_SECONDS = 30.0
_LAST_LINE_SECONDS = 5.0
_LINE_SECONDS = 60.0


def run() -> int:
    """Run until SIGTERM or SIGINT, and return the exit status.

    0, or 78 with the reasons in the log. A stuck process exits with 75.
    """
    settings, tenants = start_process(HousekeepingSettings, needs="desk")
    try:
        readiness = Readiness()
        exposition.serve("housekeeping", settings.metrics_port, readiness)
        asyncio.run(_main(settings, tenants, readiness))
    except (exposition.PortUnusable, DatabaseUnfit) as unfit:
        end_refused([str(unfit)])
    return 0


async def _main(settings: HousekeepingSettings, tenants: TenantDirectory, readiness: Readiness) -> None:
    say(phrases.PROCESS_STARTING, process="Housekeeping")
    traces = Tracing("ai-agents-housekeeping", settings.traces_dir)
    database = open_database(settings.database_url)
    redis = open_redis(settings.redis_url, seconds=2)
    desks = Desks(tenants, settings, redis, connections=AT_ONCE, yields=True)
    loop = asyncio.get_running_loop()
    # The probe has its own pool, so it does not queue behind the copies. It leaves out Redis: without it, desks are
    # only called less often.
    probed = Database(settings.database_url, application_name="ai-agents housekeeping", pool_size=1)
    readiness.ask(loop, {"database": probed.ask})
    paces = CopyPaces()
    copying = Copying(tenants, Copies(tenants, database, desks, settings.job_deadline_seconds, paces).copy)
    reconciling = Reconciling(tenants, database, desks, Inbox(redis), paces, settings)
    embedders = Embedders(tenants, settings)
    embedding = EmbeddingTurns(tenants, database, embedders.of, embedders.mask_of)
    housekeeping = _Housekeeping(settings, database, copying, reconciling, embedding, tenants)
    watchdog = Watchdog(
        housekeeping.rounds,
        stuck_seconds=settings.worker_stuck_seconds,
        ask_loop=loop.call_soon_threadsafe,
        on_stuck=_end_stuck,
    )
    watchdog.start()
    work = asyncio.create_task(_work(database, readiness, housekeeping))
    answering = asyncio.create_task(Answering(tenants, settings, redis).run())
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, work.cancel)
    try:
        await work
    except asyncio.CancelledError:
        say(phrases.PROCESS_STOPPING, process="Housekeeping")
    finally:
        readiness.stop()
        watchdog.stop()
        answering.cancel()
        await asyncio.wait([answering])
        await desks.close()
        await embedders.close()
        await redis.aclose()
        await probed.close()
        await database.close()
        traces.close()
    say(phrases.PROCESS_STOPPED, process="Housekeeping")


def open_database(url: str) -> Database:
    # Many desks queue for few connections, and a holder may take one again first: that is no outage.
    name = "ai-agents housekeeping"
    return Database(url, application_name=name, pool_size=4, pool_seconds=_LINE_SECONDS, traced=True)


def _end_stuck(reason: str) -> None:
    """Exit at once: a stuck process ignores gentler signals."""
    # A blocked log must not delay the exit.
    threading.Timer(_LAST_LINE_SECONDS, os._exit, [STUCK_EXIT]).start()
    say(phrases.HOUSEKEEPING_STUCK, reason=reason)
    os._exit(STUCK_EXIT)


async def _work(database: Database, readiness: Readiness, housekeeping: "_Housekeeping") -> None:
    end_loading()
    await wait_for_database(database)
    readiness.start()
    say(phrases.PROCESS_READY, process="Housekeeping")
    await housekeeping.lead()


class _Housekeeping:
    """The leader's work; the watchdog observes `rounds`."""

    def __init__(
        self,
        settings: HousekeepingSettings,
        database: Database,
        copying: Copying,
        reconciling: Reconciling,
        embedding: EmbeddingTurns,
        tenants: TenantDirectory,
    ) -> None:
        self._settings = settings
        self._tenants = tenants
        self._database = database
        self._copying = copying
        self._reconciling = reconciling
        self._embedding = embedding
        self._copies = Rounds(stuck_seconds=settings.worker_stuck_seconds)
        self._comparisons = Rounds(stuck_seconds=settings.worker_stuck_seconds)
        self._purges = Rounds(stuck_seconds=settings.worker_stuck_seconds)
        self._purge_at: float | None = None
        self._left = TenantsLeft(tenants.names)
        self._ages = SecretAges(database, lambda: own_secrets(settings, tenants) | tenants.secrets())
        self.rounds = Each(self._copies, self._comparisons, self._purges)

    async def lead(self) -> None:
        outage = Outage(phrases.DATABASE_UNREACHABLE)
        while True:
            try:
                # Another process may lead for ever.
                self._copies.may_wait()
                async with lead(self._database, "housekeeping") as still_leads, asyncio.TaskGroup() as all_five:
                    outage.over()
                    settings = self._settings
                    all_five.create_task(
                        self._go_round(still_leads, self._copying, self._copies, settings.sync_interval_seconds)
                    )
                    all_five.create_task(
                        self._go_round(
                            still_leads, self._reconciling, self._comparisons, settings.reconcile_interval_seconds
                        )
                    )
                    all_five.create_task(self._embed())
                    all_five.create_task(self._purge(still_leads))
                    all_five.create_task(self._ages.run(still_leads))
            except* (*DATABASE_FAILURES, TimeoutError) as failures:
                self._purges.may_wait()
                self._comparisons.may_wait()
                self._copies.next_within(_RETRY_SECONDS + _SILENCE_SECONDS)
                outage.seen("housekeeping waits", failures.exceptions[0])
                await asyncio.sleep(_RETRY_SECONDS)
            finally:
                await self._copying.stop()
                await self._reconciling.stop()

    async def _go_round(
        self, still_leads: Callable[[], Awaitable[None]], work: DeskRounds, rounds: Rounds, interval: float
    ) -> None:
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

    async def _purge(self, still_leads: Callable[[], Awaitable[None]]) -> None:
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
                on_failure=_say_not_purged,
            )
        counting.purged(answers=purged.answers, copies=purged.copies, jobs=purged.jobs)
        if purged:
            say(phrases.PURGED, answers=purged.answers, copies=purged.copies, jobs=purged.jobs)


def _say_not_purged(kind: str, failure: Exception) -> None:
    say(phrases.PURGE_FAILED, what=kind, reason="refused by the database", failure=failure)


if __name__ == "__main__":
    sys.exit(run())
