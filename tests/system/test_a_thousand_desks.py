"""A thousand desks, and thousands of tickets of one, copied by a process that is killed twice."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from prometheus_client import REGISTRY
from redis.asyncio import Redis
from sqlalchemy import text

from cli.pilot.postgres import Postgres
from config.settings import HousekeepingSettings
from config.tenant_directory import TenantDirectory
from db.session import DATABASE_FAILURES
from dev.simulators.servicedesk import create_desk
from dev.simulators.servicedesk.history import past_tickets
from integrations.desks import Desks
from jobs.inbox import Inbox
from knowledge.desk_tasks import SyncThrottles
from tests.kit.postgres import Table
from tests.kit.simulators import Simulator, simulator_of
from tests.kit.tenants_toml import filed
from tests.knowledge.plain_desk import PlainDesk
from tests.system.senders import memory_mb
from worker.scheduler.app import open_database
from worker.scheduler.missed_webhooks import Reconciliation

pytestmark = pytest.mark.slow
DESKS = 1000
TICKETS = 6_000
# The first one dies in its first pass over the list, the second one four thousand tickets later.
FIRST, WARM, SECOND = 200, 1_000, 5_000
ROOT = Path(__file__).parents[2]
# The dead process led the desk's copying.
LEAD_IS_OVER = "UPDATE passes SET held_until = now()"
_SUCCESS = "ai_agents_reconcile_last_success_timestamp_seconds"
SETTINGS = HousekeepingSettings.model_construct(
    reconcile_interval_seconds=300, reconcile_window_hours=24, keep_jobs_days=90, job_deadline_seconds=1800
)


@pytest.mark.usefixtures("spans")
async def test_each_of_a_thousand_is_compared(server: Postgres, table: Table, redis: Redis) -> None:
    names = [f"t{number}" for number in range(DESKS)]
    values = {f"SERVICEDESK_URL_{name.upper()}": "http://desk" for name in names}
    values |= {f"SERVICEDESK_API_KEY_{name.upper()}": "k" for name in names}
    values = filed(values, {f"{name}.webhook.mode": "poll" for name in names})
    database = open_database(server.url)
    desk = PlainDesk.of(20)
    desks = cast("Desks", SimpleNamespace(of=lambda _tenant_id: desk))
    tenants = TenantDirectory(lambda: values)
    rounds = Reconciliation(tenants, database, desks, Inbox(redis), SyncThrottles(), SETTINGS)
    done = False
    try:
        for _ in range(4):
            with suppress(*DATABASE_FAILURES):  # on a busy machine a connection may be late
                await rounds.run_round(300)
            if done := all(REGISTRY.get_sample_value(_SUCCESS, {"tenant_id": name}) for name in names):
                break
        assert done
        assert table.run("SELECT count(*) FROM reconciliations") == [{"count": DESKS}]
    finally:
        await rounds.stop()
        await database.close()


async def test_who_stands_in_line_for_a_while_is_served(server: Postgres) -> None:
    database = open_database(server.url)
    try:
        away = [database.call(text("SELECT pg_sleep(6)")) for _ in range(4)]
        assert len(await asyncio.gather(*away, database.ping())) == len(away) + 1
    finally:
        await database.close()


@pytest.fixture
def desk() -> Iterator[Simulator]:
    options = {"api_key": "acme-key", "seeded": False, "history": TICKETS}
    yield from simulator_of(create_desk({"desks": {"acme": options}}))


@contextmanager
def syncing(desk: Simulator, server: Postgres, redis_url: str, file: Path) -> Iterator[subprocess.Popen[str]]:
    """Run `ai-agents sync` of that desk as a process, killed at the end if needed."""
    settings = {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": server.url,
        "REDIS_URL": redis_url,
        "SERVICEDESK_URL_ACME": f"{desk.url}/acme",
        "SERVICEDESK_API_KEY_ACME": "acme-key",
        "TENANTS_FILE": str(file),
    }
    command = [sys.executable, "-m", "cli.main", "sync", "--tenant", "acme"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=settings, cwd=ROOT, stdout=pipe, stderr=pipe, text=True) as process:
        yield process
        process.send_signal(signal.SIGKILL)


def copied(table: Table) -> int:
    (row,) = table.run("SELECT count(*) AS copied FROM tickets")
    return int(row["copied"])


def wait_for_copies(table: Table, count: int) -> None:
    """Wait for this many copies, polling rarely because the query is most of the load."""
    for _ in range(300):
        if copied(table) >= count:
            return
        time.sleep(1)
    raise AssertionError(f"not {count} copies within five minutes")


def test_a_desks_history_is_copied_whole_by_a_process_that_is_killed_twice(
    desk: Simulator, server: Postgres, redis_url: str, table: Table, tmp_path: Path
) -> None:
    file = tmp_path / "tenants.toml"
    file.write_text("acme.servicedesk.rate_per_minute = 10_000_000")
    with syncing(desk, server, redis_url, file):
        wait_for_copies(table, FIRST)
    table.run(LEAD_IS_OVER)
    with syncing(desk, server, redis_url, file) as process:
        wait_for_copies(table, WARM)
        warm = memory_mb(process.pid, "VmHWM:")
        wait_for_copies(table, SECOND)
        # Thousands take no more memory than a thousand.
        assert memory_mb(process.pid, "VmHWM:") - warm < 8
    table.run(LEAD_IS_OVER)
    with syncing(desk, server, redis_url, file) as process:
        printed, complained = process.communicate(timeout=300)
    assert process.returncode == 0, complained
    assert printed.splitlines()[1].split()[:4] == ["acme", str(TICKETS), "0", "0"]
    rows = table.run("SELECT subject, description, resolution, kinds FROM tickets ORDER BY ticket_id::bigint")
    kinds = {"site": "", "priority": "", "template": "default request"}
    assert rows == [
        {
            "subject": past.subject,
            "description": past.description,
            "resolution": "" if past.open else past.resolution,
            "kinds": kinds | {"category": past.category.casefold(), "group": past.group.casefold()},
        }
        for past in past_tickets(TICKETS)
    ]
