"""Housekeeping that stands still ends itself, to be started anew; one whose database is silent waits."""

import fcntl
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from devstack.system import System
from tests.e2e.world import wait_for

SETTINGS = {"WORKER_STUCK_SECONDS": "2", "SYNC_INTERVAL_SECONDS": "1"}


@contextmanager
def not_opened_by_others(path: Path) -> Iterator[None]:
    """Whoever opens the file does not come back, as on a share whose server is gone: the kernel waits for the lease."""
    # The kernel asks for it back by this signal, and takes it after 45 s.
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)
    descriptor = os.open(path, os.O_RDWR)
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        yield
    finally:
        os.close(descriptor)
        signal.signal(signal.SIGIO, before)


@pytest.mark.skipif(sys.platform != "linux", reason="leases of files are Linux's")
def test_an_event_loop_that_stands_still_ends_housekeeping_with_a_line(tmp_path: Path) -> None:
    """In the reading of a tenant's secret, which does not come back; the one after it works."""
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    with System(tmp_path / "system", workers=0, settings=SETTINGS) as system:
        process = system.housekeeping
        key = secrets / "SERVICEDESK_API_KEY_ACME"
        key.write_text(process.environment["SERVICEDESK_API_KEY_ACME"], encoding="utf-8")
        system.restart(process, {"SECRETS_DIR": str(secrets)})
        wait_for(lambda: "Sync completed: tenant_id=acme" in process.output())
        with not_opened_by_others(key):
            assert process.wait(30) == 75
        told = process.output().splitlines()[-1]
        assert "error   Housekeeping error: its event loop stands still; it ends, to be started anew" in told
        system.restart(process)
        wait_for(lambda: "Sync completed: tenant_id=acme" in process.output())


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
