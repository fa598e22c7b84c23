"""Housekeeping: copies each desk's newest tickets and solutions for context, and purges what is too old.

Accepting, working and relaying do without it. Of several processes one is the leader, by a lock in Postgres that ends
with its connection; the others wait.
"""

import asyncio
import signal
import sys
import time

from config.settings import HousekeepingSettings, SettingsRefused
from config.startup import load_with_tenants
from config.tenants import TenantDirectory
from integrations.desks import Desks
from observability import exposition, metrics, phrases, tracing
from observability.logging import refuse_start, say, say_unusable, start_logging
from observability.outage import Outage
from observability.tracing import Tracing
from storage.leader import lead
from storage.purging import purge_by_age
from storage.schema import DatabaseUnfit
from storage.session import DATABASE_FAILURES, Database
from storage.waiting import wait_for_database
from worker.copying import AT_ONCE, Copying
from worker.queue import open_redis
from worker.sync import sync_tenant

_CONFIGURATION_EXIT = 78
_RETRY_SECONDS = 5.0
_PURGE_SECONDS = 3600.0
# A copy is nobody's wait: it takes its turn whenever that comes.
_PATIENCE_SECONDS = 3600.0


def run() -> int:
    """Run until SIGTERM or SIGINT; the exit status is 0, or 78 with the reasons in the log."""
    try:
        settings, tenants = load_with_tenants(HousekeepingSettings, needs="desk", on_problem=say_unusable)
    except SettingsRefused as refused:
        refuse_start(refused.problems)
        return _CONFIGURATION_EXIT
    start_logging(settings)
    try:
        exposition.serve("housekeeping", settings.metrics_port)
        asyncio.run(_main(settings, tenants))
    except (exposition.PortUnusable, DatabaseUnfit) as unfit:
        refuse_start([str(unfit)])
        return _CONFIGURATION_EXIT
    return 0


async def _main(settings: HousekeepingSettings, tenants: TenantDirectory) -> None:
    say(phrases.PROCESS_STARTING, process="Housekeeping")
    traces = Tracing("ai-agents-housekeeping")
    database = Database(settings.database_url, application_name="ai-agents housekeeping", pool_size=4, traced=True)
    redis = open_redis(settings.redis_url, seconds=2)
    desks = Desks(tenants, settings, redis, connections=AT_ONCE, patience_seconds=_PATIENCE_SECONDS)
    work = asyncio.create_task(_work(settings, tenants, database, desks))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, work.cancel)
    try:
        await work
    except asyncio.CancelledError:
        say(phrases.PROCESS_STOPPING, process="Housekeeping")
    finally:
        await desks.close()
        await redis.aclose()
        await database.close()
        traces.close()
    say(phrases.PROCESS_STOPPED, process="Housekeeping")


async def _work(settings: HousekeepingSettings, tenants: TenantDirectory, database: Database, desks: Desks) -> None:
    await wait_for_database(database)
    say(phrases.PROCESS_READY, process="Housekeeping")
    outage = Outage(phrases.DATABASE_UNREACHABLE)
    copying = Copying(tenants, lambda tenant_id, desk: sync_tenant(database, desks.of(tenant_id), tenant_id, desk))
    purged_at = -_PURGE_SECONDS
    while True:
        try:
            async with lead(database, "housekeeping") as still_leads:
                outage.over()
                while True:
                    await still_leads()
                    next_at = time.monotonic() + settings.sync_interval_seconds
                    await copying.round(settings.sync_interval_seconds)
                    # After the copying, so that what the desks still list is not old.
                    if time.monotonic() - purged_at >= _PURGE_SECONDS:
                        await _purge(settings, database)
                        purged_at = time.monotonic()
                    await asyncio.sleep(next_at - time.monotonic())
        except DATABASE_FAILURES as failure:
            outage.seen("housekeeping waits", failure)
            await asyncio.sleep(_RETRY_SECONDS)
        finally:
            await copying.stop()


async def _purge(settings: HousekeepingSettings, database: Database) -> None:
    with tracing.untraced():
        purged = await purge_by_age(database, text_days=settings.keep_text_days, job_days=settings.keep_jobs_days)
    metrics.purged(answers=purged.answers, copies=purged.copies, jobs=purged.jobs)
    if purged:
        say(phrases.PURGED, answers=purged.answers, copies=purged.copies, jobs=purged.jobs)


if __name__ == "__main__":
    sys.exit(run())
