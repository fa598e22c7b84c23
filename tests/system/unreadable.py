"""A file that whoever opens it waits for, as on a share whose server is gone; and a process that keeps opening one."""

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

# A loop that stands still for 2 s ends its process.
IMPATIENT = {"WORKER_STUCK_SECONDS": "2", "SYNC_INTERVAL_SECONDS": "1", "WORKER_GRACE_SECONDS": "1"}
KEY = "SERVICEDESK_API_KEY_ACME"
only_linux = pytest.mark.skipif(sys.platform != "linux", reason="leases of files are Linux's")


@contextmanager
def not_opened_by_others(path: Path) -> Iterator[None]:
    """Whoever opens the file does not come back: the kernel waits for the lease."""
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
    """Return True if nobody else has the file open."""
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_WRLCK)
    except BlockingIOError:
        return False  # somebody reads it just now
    return True


def with_secret_files(system: System, process: Process, folder: Path) -> Path:
    """Start the process, impatient, with a key of its tenant in a file, which it reads again every 5 s; the file."""
    folder.mkdir()
    path = folder / KEY
    path.write_text(process.environment[KEY], encoding="utf-8")
    system.restart(process, IMPATIENT | {"SECRETS_DIR": str(folder)})
    return path
