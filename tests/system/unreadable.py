"""A file whose opening blocks, as on a lost share, and a process that reads it."""

import fcntl
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from devstack.processes import Process
from devstack.system import System
from tests.kit.world import wait_for

# A loop that hangs for 2 s ends its process.
IMPATIENT = {"WORKER_STUCK_SECONDS": "2", "SYNC_INTERVAL_SECONDS": "1", "WORKER_GRACE_SECONDS": "1"}
KEY = "SERVICEDESK_API_KEY_ACME"
only_linux = pytest.mark.skipif(sys.platform != "linux", reason="leases of files are Linux's")


@contextmanager
def not_opened_by_others(path: Path) -> Iterator[None]:
    """Make others block when they open the file, by a lease of the kernel."""
    # The kernel requests the lease by this signal, and takes it after 45 s.
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
        return False  # another process reads it just now
    return True


def with_secret_files(system: System, process: Process, folder: Path) -> Path:
    """Start the process with a short watchdog and a key in a file; return the file.

    It reads the file every 5 s.
    """
    folder.mkdir()
    path = folder / KEY
    path.write_text(process.environment[KEY], encoding="utf-8")
    system.restart(process, IMPATIENT | {"SECRETS_DIR": str(folder)})
    return path
