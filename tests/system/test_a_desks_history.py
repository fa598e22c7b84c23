"""Copying of thousands of tickets by a process that is killed twice."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from devstack.postgres import Postgres
from simulators.servicedesk import create_desk
from simulators.servicedesk.history import past_tickets
from tests.kit.postgres import Table
from tests.kit.simulators import Simulator, simulator_of
from tests.system.by_hand import Answer

COUNT = 6_000
# The first one dies in its first pass over the list, the second one four thousand tickets later.
FIRST, WARM, SECOND = 200, 1_000, 5_000
ROOT = Path(__file__).parents[2]


@pytest.fixture
def desk() -> Iterator[Simulator]:
    options = {"api_key": "acme-key", "seeded": False, "history": COUNT}
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
    command = [sys.executable, "-m", "support.cli", "sync", "--tenant", "acme"]
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


def peak_megabytes(process: subprocess.Popen[str]) -> float:
    """Return the peak memory of the process in MB."""
    status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def pass_over(table: Table) -> None:
    """Let the dead process's lead of the desk expire."""
    table.run("UPDATE passes SET held_until = now()")


@pytest.mark.slow
def test_it_is_copied_whole_by_a_process_that_is_killed_twice(
    desk: Simulator, server: Postgres, redis_url: str, table: Table, tmp_path: Path
) -> None:
    file = tmp_path / "tenants.toml"
    file.write_text("acme.servicedesk.rate_per_minute = 10_000_000")
    with syncing(desk, server, redis_url, file):
        wait_for_copies(table, FIRST)
    pass_over(table)
    with syncing(desk, server, redis_url, file) as process:
        wait_for_copies(table, WARM)
        warm = peak_megabytes(process)
        wait_for_copies(table, SECOND)
        # Thousands take no more memory than a thousand.
        assert peak_megabytes(process) - warm < 8
    pass_over(table)
    with syncing(desk, server, redis_url, file) as process:
        printed, complained = process.communicate(timeout=300)
        answer = Answer("sync", process.returncode, printed, complained)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.splitlines()[1].split()[:4] == ["acme", str(COUNT), "0", "0"]
    rows = table.run("SELECT subject, description, resolution, kinds FROM tickets ORDER BY ticket_id::bigint")
    kinds = {"site": "", "template": "default request"}
    assert rows == [
        {
            "subject": past.subject,
            "description": past.description,
            "resolution": "" if past.open else past.resolution,
            "kinds": kinds | {"category": past.category.casefold(), "group": past.group.casefold()},
        }
        for past in past_tickets(COUNT)
    ]
