"""How a supervised process comes to life: by `start_afresh`, unless its maker passes in something else."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

# The kernel ends a tethered child when the THREAD that forked it ends, so all forking is done in one thread
# that lives as long as this process.
_FORKING = ThreadPoolExecutor(max_workers=1, thread_name_prefix="devstack-forking")
_TETHER = str(Path(__file__).with_name("tether.py"))


@dataclass(frozen=True)
class Start:
    """What is to be started, and around it: `log` gets all of its output, at the end of the file.

    `user` is the id of the user and group to change to. `death_signal` is sent to it when this process dies.
    """

    command: Sequence[str] = field(repr=False)
    environment: Mapping[str, str] = field(repr=False)
    folder: Path
    log: Path
    death_signal: signal.Signals
    user: int | None


class Child(Protocol):
    """A process that was started: what `subprocess.Popen` has of one."""

    @property
    def pid(self) -> int:
        """Its id."""

    @property
    def returncode(self) -> int | None:
        """Exit status as `poll` or `wait` last found it, negative for a signal."""

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
    """Start a command as the machine starts any: a new program, in a session of its own."""
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
            # Ctrl-C in a terminal reaches a whole group: the order of the end is ours to decide.
            start_new_session=True,
        ).result()
