"""Processes of the product and simulators, forked from one that has loaded them.

Loading is paid for once. Importing only defines names (`test_processes.py`), so a forked process begins and ends as a
fresh one does. From outside it shows its parent's arguments, first environment and part of its memory. Tests of
those, and some of whole starts, start afresh.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from devstack.processes import Start
from devstack.programs import PROJECT
from devstack.surroundings import machine_environment

# The processes' imports without `worker` and `support`: Celery's application is for a worker alone, and the target of
# `python -m` must not be loaded before.
_LOADED = (
    *("api.app", "api.server", "housekeeping.app", "storage.migrating", "support.arguments"),
    *("integrations.model.models", "workflow.graph", "workflow.runner", "workflow.kept_answers", "storage.spending"),
    *("celery.apps.worker", "celery.bin.celery", "celery.concurrency.thread", "celery.worker.components"),
    *("celery.worker.consumer", "kombu.transport.redis", "sqlalchemy.dialects.postgresql.psycopg"),
    *("openai.resources.chat", "anyio._backends._asyncio", "httpcore", "httpcore2"),
    *("uvicorn.loops.uvloop", "uvicorn.lifespan.on"),
    *("simulators.servicedesk.app", "simulators.openai.app", "simulators.openai.providers", "simulators.serving"),
)
_SHORTEST_POLL, _LONGEST_POLL = 0.001, 0.02
_RUN_SECONDS = 60


class ForkedChild:
    """A forked process with the used part of `subprocess.Popen`.

    The users are tests and `devstack.processes`.
    """

    def __init__(self, loaded: "LoadedPrograms", pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._loaded = loaded

    def poll(self) -> int | None:
        """Return the exit status, negative for a signal, or None while it runs."""
        if self.returncode is None:
            self.returncode = self._loaded.status_of(self.pid)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end and return the exit status. Raises subprocess.TimeoutExpired."""
        give_up_at = None if timeout is None else time.monotonic() + timeout
        pause = _SHORTEST_POLL
        while (status := self.poll()) is None:
            if give_up_at is not None and time.monotonic() >= give_up_at:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_POLL)
        return status

    def send_signal(self, sig: int) -> None:
        """Send a signal, unless the process has ended."""
        # Its id is not reused until `poll` has found its end.
        if self.poll() is None:
            os.kill(self.pid, sig)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class LoadedPrograms:
    """Starts `python -m MODULE ...` by forking a process that has loaded the imports.

    That process ends with this one in every case, and ends its forks too.
    """

    def __init__(self, modules: Sequence[str] = _LOADED) -> None:
        self._socket, theirs = socket.socketpair()
        self._messages = self._socket.makefile("rwb")
        self._lock = threading.Lock()
        with theirs:
            self._server = subprocess.Popen(
                [sys.executable, "-m", "tests.kit.loaded_server", *modules],
                cwd=PROJECT,
                env=machine_environment(),
                stdin=theirs.fileno(),
            )

    def close(self) -> None:
        self._messages.close()
        self._socket.close()
        self._server.wait()

    def __call__(self, start: Start) -> ForkedChild:
        """Start a command. Raises ValueError unless it is `python -m MODULE ...` as this user."""
        return self._start(start)

    def run(self, verb: str, settings: Mapping[str, str]) -> tuple[int, str]:
        """Run `ai-agents VERB` to its end; return exit status and output.

        Even as root it obeys file modes. Raises subprocess.TimeoutExpired after a minute.
        """
        command = [sys.executable, "-m", "support.cli", *verb.split()]
        with tempfile.NamedTemporaryFile("r", encoding="utf-8") as log:
            start = Start(command, settings, PROJECT, Path(log.name), signal.SIGKILL, None)
            child = self._start(start, obeys_modes=True)
            try:
                return child.wait(_RUN_SECONDS), log.read()
            finally:
                child.kill()

    def status_of(self, pid: int) -> int | None:
        status: int | None = self._ask(status_of=pid)
        return status

    def _start(self, start: Start, *, obeys_modes: bool = False) -> ForkedChild:
        words = list(start.command[2:])
        if start.user is not None or not words or list(start.command[:2]) != [sys.executable, "-m"]:
            raise ValueError(f"is not started by forking: {start.command}")
        told = {
            "words": words,
            "environment": dict(start.environment),
            "folder": str(start.folder),
            "log": str(start.log),
            "death_signal": int(start.death_signal),
            "obeys_modes": obeys_modes,
        }
        return ForkedChild(self, self._ask(start=told))

    def _ask(self, **question: Any) -> Any:
        with self._lock:
            self._messages.write(json.dumps(question).encode() + b"\n")
            self._messages.flush()
            answer = self._messages.readline()
        if not answer:
            raise RuntimeError("the loaded process has ended")
        return json.loads(answer)


@pytest.fixture(scope="session")
def loaded() -> Iterator[LoadedPrograms]:
    """Return the starter of forked processes, for all tests of this process."""
    server = LoadedPrograms()
    yield server
    server.close()
