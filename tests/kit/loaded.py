"""Processes of the product and simulators, forked from one that has loaded them.

Loading is paid for once. Importing only defines names (`test_processes.py`), so a forked process begins and ends as a
fresh one does. From outside it shows its parent's arguments, first environment and part of its memory. Tests of
those, and some of whole starts, start afresh.

`python -m tests.kit.loaded SOCKET MODULE...` starts that process: it loads the modules and forks one for each start.
"""

import ctypes
import fcntl
import gc
import importlib
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import Client, Connection, wait
from pathlib import Path
from typing import Any, cast

from cli.pilot.processes import Start
from cli.pilot.programs import ROOT, machine_environment
from cli.pilot.tether import tie_to
from observability.startup import begin_loading, end_loading

# The processes' imports without `worker`: Celery's application is for a worker alone, and the target of `python -m`
# must not be loaded before.
_LOADED = (
    *("api.app", "api.server", "worker.scheduler.app", "db.migrate", "cli.arguments"),
    *("integrations.llm.clients", "integrations.llm.spending", "workflow.graph", "workflow.runner"),
    "workflow.stored_answers",
    *("celery.apps.worker", "celery.bin.celery", "celery.concurrency.thread", "celery.worker.components"),
    *("celery.worker.consumer", "kombu.transport.redis", "sqlalchemy.dialects.postgresql.psycopg"),
    *("openai.resources.chat", "anyio._backends._asyncio", "httpcore", "httpcore2"),
    *("uvicorn.loops.uvloop", "uvicorn.lifespan.on"),
    *("dev.simulators.servicedesk.app", "dev.simulators.openai.app", "dev.simulators.openai.providers"),
    "dev.simulators.serving",
)
_MIN_POLL, _MAX_POLL = 0.001, 0.02
_RUN_SECONDS = 60
# CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH.
_PAST_MODES = 0b110
_CAPABILITY_VERSION = 0x20080522


class ForkedChild:
    """A forked process with the used part of `subprocess.Popen`."""

    def __init__(self, loaded: "LoadedPrograms", pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._loaded = loaded

    def poll(self) -> int | None:
        if self.returncode is None:
            self.returncode = self._loaded.status_of(self.pid)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end and return the exit status. Raises subprocess.TimeoutExpired."""
        give_up_at = None if timeout is None else time.monotonic() + timeout
        pause = _MIN_POLL
        while (status := self.poll()) is None:
            if give_up_at is not None and time.monotonic() >= give_up_at:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
            time.sleep(pause)
            pause = min(2 * pause, _MAX_POLL)
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

    All users of one folder share that process: the first one starts it, and it ends with the last one. The forks of a
    user end with that user.
    """

    def __init__(self, folder: Path, modules: Sequence[str] = _LOADED) -> None:
        self._lock = threading.Lock()
        address = str(folder / "loaded.socket")
        with (folder / "loaded.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with suppress(OSError, EOFError):
                self._pipe = Client(address)
                self._request(None)
                return
            Path(address).unlink(missing_ok=True)
            command = [sys.executable, "-m", "tests.kit.loaded", address, *modules]
            subprocess.run(command, cwd=ROOT, env=machine_environment(), stdin=subprocess.DEVNULL, check=True)
            self._pipe = Client(address)

    def close(self) -> None:
        self._pipe.close()

    def __call__(self, start: Start, *, obeys_modes: bool = False) -> ForkedChild:
        """Start `python -m MODULE ...` as this user.

        Raises ValueError for any other command.
        """
        if start.user is not None or len(start.command) < 3 or [*start.command[:2]] != [sys.executable, "-m"]:
            raise ValueError(f"is not started by forking: {start.command}")
        return ForkedChild(self, self._request((start, obeys_modes, start.log)))

    def run(self, verb: str, settings: Mapping[str, str]) -> tuple[int, str]:
        """Run `ai-agents VERB` to its end; return exit status and output.

        It obeys file modes even as root.
        """
        output, complaints, status = self.typed(verb.split(), settings, obeys_modes=True)
        return status, output + complaints

    def typed(
        self, words: Sequence[str], settings: Mapping[str, str], *, obeys_modes: bool = False
    ) -> tuple[str, str, int]:
        """Run `ai-agents` to its end; return stdout, stderr and status.

        Raises subprocess.TimeoutExpired.
        """
        command = [sys.executable, "-m", "cli.main", *words]
        with tempfile.NamedTemporaryFile("r", encoding="utf-8") as log, tempfile.NamedTemporaryFile("r") as complaints:
            start = Start(command, settings, ROOT, Path(log.name), signal.SIGKILL, None)
            child = ForkedChild(self, self._request((start, obeys_modes, complaints.name)))
            try:
                status = child.wait(_RUN_SECONDS)
                return log.read(), complaints.read(), status
            finally:
                child.kill()

    def status_of(self, pid: int) -> int | None:
        status: int | None = self._request(pid)
        return status

    def _request(self, question: object) -> Any:
        with self._lock:
            self._pipe.send(question)
            return self._pipe.recv()


def main() -> None:
    """Serve until the last connection closes; in a fork run the module to its end."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(sys.argv[1])
        listener.listen()
        if os.fork():
            return  # from here on, others can connect
        os.setsid()
        begin_loading()
        for name in sys.argv[2:]:
            importlib.import_module(name)
        # Freezing keeps the collector from touching, and so copying, the shared pages.
        end_loading()
        start = _serve(listener)
    if start is not None:
        _become(*start)
        # As in `python -m`, in this interpreter, so that every kind of end is the same.
        runpy.run_module(start[0].command[2], run_name="__main__", alter_sys=True)


def _serve(listener: socket.socket) -> tuple[Any, ...] | None:
    """Serve requests; return None at the end.

    In a forked process, return the start to run.
    """
    here = os.getpid()
    users: dict[Connection[Any, Any], dict[int, int]] = {Connection(listener.accept()[0].detach()): {}}
    while users:
        for ready in wait([listener, *users]):
            if ready is listener:
                users[Connection(listener.accept()[0].detach())] = {}
                continue
            pipe = cast("Connection[Any, Any]", ready)
            try:
                question = pipe.recv()
            except (EOFError, OSError):
                pipe.close()
                for pid, death_signal in users.pop(pipe).items():
                    os.kill(pid, death_signal)
                continue
            answer: int | None = None
            if isinstance(question, int):
                ended, status = os.waitpid(question, os.WNOHANG)
                if ended:
                    answer = os.waitstatus_to_exitcode(status)
                    del users[pipe][question]
            elif question is not None:
                answer = os.fork()
                if not answer:
                    for user in users:
                        user.close()
                    tie_to(here, question[0].death_signal)
                    return tuple(question)
                users[pipe][answer] = question[0].death_signal
            with suppress(OSError):
                pipe.send(answer)
    return None


def _become(start: Start, obeys_modes: bool, complaints: Path) -> None:
    """Make this process like a newly started one."""
    os.setsid()
    added = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    for number, path, flags in ((0, os.devnull, os.O_RDONLY), (1, start.log, added), (2, complaints, added)):
        opened = os.open(path, flags, 0o666)
        os.dup2(opened, number)
        os.close(opened)
    os.chdir(start.folder)
    os.environ.clear()
    os.environ.update(start.environment)
    time.tzset()
    sys.argv[1:] = start.command[3:]
    if obeys_modes and sys.platform == "linux":
        # Even as root.
        libc, header, held = ctypes.CDLL(None), (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0), (ctypes.c_uint32 * 6)()
        libc.capget(header, held)
        for kind in range(3):  # effective, permitted, inheritable
            held[kind] &= ~_PAST_MODES
        libc.capset(header, held)
    gc.enable()


if __name__ == "__main__":
    main()
