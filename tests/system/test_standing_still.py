"""A process that stands still ends itself, to be started anew; one whose database is silent waits."""

import fcntl
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from devstack.processes import Process
from devstack.system import System
from tests.kit.world import World, wait_for

SETTINGS = {"WORKER_STUCK_SECONDS": "2", "SYNC_INTERVAL_SECONDS": "1", "WORKER_GRACE_SECONDS": "1"}
KEY = "SERVICEDESK_API_KEY_ACME"
only_linux = pytest.mark.skipif(sys.platform != "linux", reason="leases of files are Linux's")


@contextmanager
def not_opened_by_others(path: Path) -> Iterator[None]:
    """Whoever opens the file does not come back, as on a share whose server is gone: the kernel waits for the lease."""
    # The kernel asks for it back by this signal, and takes it after 45 s.
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)
    descriptor = os.open(path, os.O_RDWR)
    try:
        wait_for(lambda: _lease(descriptor))
        yield
    finally:
        os.close(descriptor)
        signal.signal(signal.SIGIO, before)


def _lease(descriptor: int) -> bool:
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_WRLCK)
    except BlockingIOError:
        return False  # somebody reads it just now
    return True


def with_secret_files(system: System, process: Process, folder: Path) -> Path:
    """Start the process with a key of its tenant in a file, which it reads again every 5 s; the file."""
    folder.mkdir()
    path = folder / KEY
    path.write_text(process.environment[KEY], encoding="utf-8")
    system.restart(process, {"SECRETS_DIR": str(folder)})
    return path


@only_linux
def test_an_event_loop_that_stands_still_ends_housekeeping_with_a_line(tmp_path: Path) -> None:
    """In the reading of a tenant's secret, which does not come back; the one after it works."""
    with System(tmp_path / "system", workers=0, settings=SETTINGS) as system:
        process = system.housekeeping
        key = with_secret_files(system, process, tmp_path / "secrets")
        wait_for(lambda: "Sync completed: tenant_id=acme" in process.output())
        with not_opened_by_others(key):
            assert process.wait(30) == 75
        told = process.output().splitlines()[-1]
        assert "error   Housekeeping error: its event loop stands still; it ends, to be started anew" in told
        system.restart(process)
        wait_for(lambda: "Sync completed: tenant_id=acme" in process.output())


@pytest.mark.slow
@only_linux
def test_a_worker_whose_event_loop_stands_still_ends_too_and_loses_no_job(tmp_path: Path) -> None:
    """It can hand nothing back any more: the job is found by its lease."""
    settings = SETTINGS | {"LEASE_SECONDS": "3"}
    with System(tmp_path / "system", settings=settings, openai_seconds=0.5, housekeeping=False) as system:
        world = World(system)
        worker = system.workers[0]
        key = with_secret_files(system, worker, tmp_path / "secrets")
        assert world.ended(world.create_ticket())["state"] == "completed"
        # The next job is the first to read it again.
        time.sleep(5)
        with not_opened_by_others(key):
            ticket_id = world.create_ticket()
            assert worker.wait(40) == 75
        assert "Worker error: its event loop stands still; it ends, to be started anew" in worker.output()
        system.restart(worker)
        assert world.ended(ticket_id)["state"] == "completed"
        assert len(world.notes(ticket_id)) == 1
        world.close()


@pytest.mark.slow
def test_a_database_that_is_silent_is_an_outage_and_no_reason_to_end(tmp_path: Path) -> None:
    """For ten times as long as a process may stand still: it says so, and goes on when the database does."""
    with System(tmp_path / "system", workers=0, settings=SETTINGS) as system:
        process = system.housekeeping
        wait_for(lambda: "Sync completed: tenant_id=acme" in process.output())
        system.postgres.pause()
        try:
            wait_for(lambda: "Database error: housekeeping waits" in process.output(), 40)
        finally:
            system.postgres.resume()
        copied = process.output().count("Sync completed")
        wait_for(lambda: process.output().count("Sync completed") > copied)
        assert process.running
        assert "Housekeeping error" not in process.output()
