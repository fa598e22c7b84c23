"""Where the faults happen: the running system, and how to break each part of it at a chosen moment."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from devstack.processes import Process
from devstack.system import System
from tests.e2e.world import World

# Short times, so that what takes minutes in production takes seconds here.
SETTINGS = {
    "OPENAI_TIMEOUT_SECONDS": "2",
    "SERVICEDESK_TIMEOUT_SECONDS": "2",
    "CONTEXT_TIMEOUT_SECONDS": "2",
    "NOTE_SETTLE_SECONDS": "4",
    "LEASE_SECONDS": "3",
    "WORKER_GRACE_SECONDS": "2",
    "WORKER_CONCURRENCY": "32",
}
_STEP_SECONDS = 20.0
_POLL_SECONDS = 0.01


@dataclass
class Stage:
    """A running system, its outside, and the moments at which a process was killed or paused."""

    system: System
    world: World
    broken: list[tuple[float, float]] = field(default_factory=list)
    """From when to when (Unix seconds) a process was dead or held still: a call under way then has two halves."""

    @contextlib.contextmanager
    def breaking(self) -> Iterator[None]:
        """A block in which calls are cut off by us."""
        began = time.time()
        try:
            yield
        finally:
            self.broken.append((began - 0.5, time.time() + 0.5))

    def kill(self, process: Process, down_seconds: float = 0.5) -> None:
        """SIGKILL, and a new one a little later."""
        with self.breaking():
            process.kill()
        time.sleep(down_seconds)
        self.system.restart(process)

    def kill_at(self, phrase: str) -> None:
        """SIGKILL to the worker that is the next to print a phrase, at once."""
        worker = self._next_to_say(phrase)
        self.kill(worker)

    def pause(self, process: Process, seconds: float) -> None:
        """Hold a process still: it looks alive, and does nothing."""
        with self.breaking():
            process.pause()
            time.sleep(seconds)
            process.resume()

    def _next_to_say(self, phrase: str) -> Process:
        sizes = {worker.name: worker.log_path.stat().st_size for worker in self.system.workers}
        give_up_at = time.monotonic() + _STEP_SECONDS
        while time.monotonic() < give_up_at:
            for worker in self.system.workers:
                if phrase in _since(worker.log_path, sizes[worker.name]):
                    return worker
            time.sleep(_POLL_SECONDS)
        raise AssertionError(f"no worker said {phrase!r} within {_STEP_SECONDS} s")


def _since(path: Path, position: int) -> str:
    with path.open("rb") as log:
        log.seek(position)
        return log.read().decode(errors="replace")


@contextlib.contextmanager
def staged(folder: Path) -> Iterator[Stage]:
    """The whole system with two workers, for the length of the block."""
    with System(folder, workers=2, settings=SETTINGS, openai_seconds=0.5, housekeeping=False) as system:
        world = World(system)
        try:
            yield Stage(system, world)
        finally:
            world.close()
