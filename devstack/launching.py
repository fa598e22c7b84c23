"""Launchers of supervised processes; `start_afresh` is the default."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

# The kernel ends a tethered child when the THREAD that forked it ends. So one thread forks all children, and lives as
# long as this process.
_FORKING = ThreadPoolExecutor(max_workers=1, thread_name_prefix="devstack-forking")
_TETHER = str(Path(__file__).with_name("tether.py"))


@dataclass(frozen=True)
class Start:
    """A command to start, and its environment; all output is appended to `log`.

    `user` is the id of the user and group to change to. The child gets `death_signal` when this process dies.
    """

    command: Sequence[str] = field(repr=False)
    environment: Mapping[str, str] = field(repr=False)
    folder: Path
    log: Path
    death_signal: signal.Signals
    user: int | None


class Child(Protocol):
    """A started process: the used subset of `subprocess.Popen`."""

    @property
    def pid(self) -> int:
        """Return the process id."""

    @property
    def returncode(self) -> int | None:
        """Return the last known exit status, negative for a signal."""

    def poll(self) -> int | None:
        """Return the exit status, or None while it runs."""

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end and return the exit status. Raises subprocess.TimeoutExpired."""

    def send_signal(self, sig: int) -> None:
        """Send a signal, unless it has ended."""

    def kill(self) -> None:
        """Send SIGKILL, unless it has ended."""


Launch = Callable[[Start], Child]


def start_afresh(start: Start) -> Child:
    """Start a command as a new program in its own session."""
    user = -1 if start.user is None else start.user
    tethered = [sys.executable, "-I", "-S", _TETHER, str(os.getpid()), str(int(start.death_signal)), str(user)]
    with start.log.open("ab") as log:
        return _FORKING.submit(
            subprocess.Popen,
            [*tethered, *start.command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=start.folder,
            env=start.environment,
            # Ctrl-C in a terminal reaches the whole process group, but we stop processes in order.
            start_new_session=True,
        ).result()
