"""Supervised processes with one log file each, and base classes of resources."""

import os
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, Self

_POLL_SECONDS = 0.03
_ORPHANS_SECONDS = 5
_TAIL_BYTES = 32_768
_PROC = Path("/proc")

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
    def pid(self) -> int: ...

    @property
    def returncode(self) -> int | None: ...

    def poll(self) -> int | None: ...

    def wait(self, timeout: float | None = None) -> int: ...

    def send_signal(self, sig: int) -> None: ...

    def kill(self) -> None: ...


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


def descendants(pid: int) -> list[int]:
    """Return the ids of all descendants, parents first; empty without `/proc`."""
    children: dict[int, list[int]] = {}
    for entry in _PROC.glob("[0-9]*"):
        if fields := _stat_fields(int(entry.name)):
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    pids: list[int] = []
    for parent in (family := [pid]):
        pids += children.get(parent, [])
        family += children.get(parent, [])
    return pids


def is_alive(pid: int) -> bool:
    """Return True if the process exists and is not a zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # another user's process, but alive
    fields = _stat_fields(pid)
    return not fields or fields[0] != "Z"


def _stat_fields(pid: int) -> list[str]:
    """Return the fields of `/proc/PID/stat` from the state on, or an empty list."""
    with suppress(OSError):
        # The name before the state may contain any character.
        return (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
    return []


class ProcessFailedError(Exception):
    """A process ended or did not become ready; the text has its name and last lines."""

    def __init__(self, process: "Process", problem: str) -> None:
        lines = "\n".join(f"  | {line}" for line in process.tail())
        super().__init__(f"{process.name} {problem}. Its last lines ({process.log_path}):\n{lines or '  | (none)'}")
        self.process = process


@dataclass(eq=False)
class Process:
    """A command under supervision.

    `command[0]` is a path. `ready` is polled until it returns True. `user` is the id of the user and group to change to
    (as root only). `death_signal` is sent to it if this process dies without stopping it (Linux). `launch` starts it.
    """

    name: str
    command: Sequence[str] = field(repr=False)
    log_path: Path
    environment: dict[str, str] = field(repr=False)
    ready: Callable[["Process"], bool] = field(default=lambda _process: True, repr=False)
    folder: Path = Path("/")
    stop_signal: signal.Signals = signal.SIGTERM
    death_signal: signal.Signals = signal.SIGKILL
    user: int | None = None
    launch: Launch = field(default=start_afresh, repr=False)
    log_start: int = field(default=0, init=False, repr=False)
    """Offset in the log file of the last start's output."""
    start_environment: Mapping[str, str] = field(default_factory=dict, init=False, repr=False)
    """Environment of the last start."""
    _child: Child | None = field(default=None, init=False, repr=False)
    _paused: list[int] = field(default_factory=list, init=False, repr=False)
    _expected: bool = field(default=False, init=False, repr=False)

    @property
    def pid(self) -> int:
        """Return the id of the current or last process. Raises RuntimeError."""
        return self._started().pid

    @property
    def returncode(self) -> int | None:
        """Return the exit status, negative for a signal; None while it runs."""
        return self._started().poll()

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.poll() is None

    @property
    def died(self) -> bool:
        return self._expected and not self.running

    def start(self) -> None:
        """Start it without waiting. Output is appended to the log file."""
        if self.running:
            raise RuntimeError(f"{self.name} is already running")
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        with self.log_path.open("ab") as log:
            self.log_start = log.tell()
        self.start_environment = dict(self.environment)
        self._child = self.launch(
            Start(self.command, self.start_environment, self.folder, self.log_path, self.death_signal, self.user)
        )
        self._expected, self._paused = True, []

    def wait_ready(self, seconds: float = 30) -> None:
        await_ready([self], seconds)

    def run(self, seconds: float = 60) -> None:
        """Run it to its end. Raises ProcessFailedError on a timeout or a non-zero status."""
        self.start()
        self._expected = False
        status = self.wait(seconds)
        if status is None:
            self.kill()
            raise ProcessFailedError(self, f"did not end within {seconds:.0f} s")
        if status != 0:
            raise ProcessFailedError(self, f"ended with status {status}")

    def wait(self, seconds: float) -> int | None:
        """Wait for the end; return the exit status, or None after `seconds`."""
        try:
            return self._started().wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def terminate(self) -> None:
        self._expected = False
        if self.running:
            self.resume()
            self._started().send_signal(self.stop_signal)

    def stop(self, grace: float = 10) -> int | None:
        """Stop, kill after `grace` seconds; return the exit status, None if never started."""
        if self._child is None:
            return None
        self.terminate()
        if self.wait(grace) is None:
            self.kill()
        return self._child.returncode

    def kill(self) -> None:
        """Send SIGKILL to it and all descendants, and wait for their end."""
        self._expected = False
        if not self.running:
            return
        child = self._started()
        child.send_signal(signal.SIGSTOP)  # so that it starts no further descendants
        below = descendants(child.pid)
        _signal_each(below, signal.SIGKILL)
        child.kill()
        child.wait()
        # They are not our children, so `wait` does not work.
        wait_until(lambda: not any(map(is_alive, below)), _ORPHANS_SECONDS)

    def pause(self) -> None:
        """Send SIGSTOP to it and its descendants: sockets stay open without answers."""
        self._started().send_signal(signal.SIGSTOP)
        self._paused = descendants(self.pid)
        _signal_each(self._paused, signal.SIGSTOP)

    def resume(self) -> None:
        if self.running:
            _signal_each(self._paused, signal.SIGCONT)
            self._started().send_signal(signal.SIGCONT)
        self._paused = []

    def output(self) -> str:
        return self._read(self.log_start)

    def tail(self, lines: int = 15) -> list[str]:
        size = self.log_path.stat().st_size if self.log_path.exists() else 0
        return self._read(max(0, size - _TAIL_BYTES)).splitlines()[-lines:]

    def _read(self, start: int) -> str:
        if not self.log_path.exists():
            return ""
        with self.log_path.open("rb") as log:
            log.seek(start)
            return log.read().decode(errors="replace")

    def _started(self) -> Child:
        if self._child is None:
            raise RuntimeError(f"{self.name} was not started")
        return self._child


def _signal_each(pids: Sequence[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):  # it ended by itself
            os.kill(pid, number)


def wait_until(holds: Callable[[], bool], seconds: float, *, pause: float = _POLL_SECONDS) -> bool:
    """Wait until a condition holds; return False if it does not within `seconds`."""
    deadline = time.monotonic() + seconds
    while not (result := holds()) and time.monotonic() < deadline:
        time.sleep(pause)
    return result


def await_ready(processes: Sequence[Process], seconds: float) -> None:
    """Wait until all are ready. Raises ProcessFailedError on an end or a timeout."""
    deadline = time.monotonic() + seconds
    waiting = list(processes)
    while waiting:
        for process in processes:
            if not process.running:
                raise ProcessFailedError(process, f"ended with status {process.returncode} at its start")
        waiting = [process for process in waiting if not process.ready(process)]
        if waiting and time.monotonic() > deadline:
            raise ProcessFailedError(waiting[0], f"was not ready after {seconds:.0f} s")
        if waiting:
            time.sleep(_POLL_SECONDS)


def stop_all(processes: Sequence[Process], grace: float) -> None:
    """Stop all at once; kill the remaining ones after `grace` seconds."""
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + grace
    for process in processes:
        process.stop(max(0.0, deadline - time.monotonic()))


class Supervisor:
    """Starts processes again that end by themselves or are killed."""

    _MAX_STARTS, _WINDOW_SECONDS = 5, 60.0

    def __init__(self, processes: Sequence[Process]) -> None:
        self._processes = processes
        self._starts: dict[str, list[float]] = {}

    def look(self) -> list[str]:
        """Start ended processes; return a sentence for each.

        Raises ProcessFailedError for a process that ended five times in a minute.
        """
        sentences = []
        for process in self._processes:
            if not process.died:
                continue
            now = time.monotonic()
            starts = [at for at in self._starts.get(process.name, []) if now - at < self._WINDOW_SECONDS]
            if len(starts) == self._MAX_STARTS:
                raise ProcessFailedError(process, f"ended again with status {process.returncode}")
            self._starts[process.name] = [*starts, now]
            status = process.returncode
            process.start()
            sentences.append(f"{process.name} ended with status {status}: started again as process {process.pid}")
        return sentences


class Startable(ABC):
    """A resource that runs for the duration of a `with` block."""

    @abstractmethod
    def start(self) -> None:
        """Start and wait until ready. Raises ProcessFailedError with its last lines."""

    @abstractmethod
    def stop(self) -> None:
        """Stop gracefully; no effect if it does not run."""

    def discard(self) -> None:
        self.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()


class Server(Startable):
    """A server process on 127.0.0.1; paused, it accepts but does not answer."""

    process: Process

    def kill(self) -> None:
        self.process.kill()

    def restart(self) -> None:
        """Stop it (if it runs) and start it on the same port with its remaining data."""
        self.stop()
        self.start()

    def pause(self) -> None:
        self.process.pause()

    def resume(self) -> None:
        self.process.resume()
