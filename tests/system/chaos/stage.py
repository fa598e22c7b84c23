"""A running system whose parts can be broken at a chosen moment."""

import contextlib
import random
import re
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from devstack.processes import Process
from devstack.system import System
from tests.kit.world import World
from tests.system.chaos.held import Excuse, Held, ids_of, jobs_held_by
from tests.system.chaos.leases import LeaseWatch
from tests.system.chaos.said import Death

NOTE_SETTLE_SECONDS = 4.0
LEASE_SECONDS = 5.0
GRACE_SECONDS = 2.0
# Short times: minutes in production are seconds here.
SETTINGS = {
    "OPENAI_TIMEOUT_SECONDS": "2",
    "SERVICEDESK_TIMEOUT_SECONDS": "2",
    "CONTEXT_TIMEOUT_SECONDS": "2",
    "NOTE_SETTLE_SECONDS": f"{NOTE_SETTLE_SECONDS:g}",
    "LEASE_SECONDS": f"{LEASE_SECONDS:g}",
    "WORKER_GRACE_SECONDS": f"{GRACE_SECONDS:g}",
    "WORKER_CONCURRENCY": "32",
}
# After the grace period of its jobs a worker closes its connections, with a limit of its own.
_STOP_SECONDS = GRACE_SECONDS + 6.0
_STEP_SECONDS = 20.0
_POLL_SECONDS = 0.005
_ON_ITS_WAY_SECONDS = 0.1
_HANDED_BACK = re.compile(r"Job requeued: job_id=([0-9a-f-]{36}), ticket_id=\d+, reason=worker stopping")


@dataclass
class Stage:
    """A running system, its simulators, and the faults so far."""

    system: System
    world: World
    seed: int
    random: random.Random
    """Of that seed: what happens at random happens again with it, as far as the machine lets it."""
    excuses: list[Excuse] = field(default_factory=list)
    deaths: list[Death] = field(default_factory=list)
    """Of the API and the workers, by SIGKILL."""
    problems: list[str] = field(default_factory=list)
    """What went wrong beside the webhooks, in the scenario under way: a fault that hit nothing, a bad exit."""
    held_posting: set[str] = field(default_factory=set)
    """Jobs whose process was held still beyond its lease while the note's POST was under way, or about to be."""
    burst: Callable[[int], list[str]] = field(init=False)
    """Sends so many webhooks at once in the scenario under way, beside its stream; their tickets."""
    leases: LeaseWatch = field(init=False)

    def __post_init__(self) -> None:
        self.leases = LeaseWatch(self.world.admin, self.system.state["redis_url"], self._is_excused)

    @property
    def all_excuses(self) -> list[Excuse]:
        """Return the excuses of processes stopped here or stalled by the machine."""
        return [*self.excuses, *self.leases.ran_out]

    def kill(self, process: Process, down_seconds: float = 0.5) -> list[Held]:
        """Kill a process with SIGKILL and restart it a little later; return its jobs."""
        ids = ids_of(process)
        began = time.time()
        process.kill()
        self.deaths.append(Death(process.name, began, time.time()))
        held = self._excuse(ids)
        time.sleep(down_seconds)
        self.system.restart(process)
        return held

    def kill_at(self, phrase: str) -> list[Held]:
        """Kill the first worker that prints a phrase, with SIGKILL, at once."""
        return self.kill(self._next_to_say(phrase))

    def pause(self, process: Process, seconds: float) -> None:
        """Suspend a process, which then looks alive and does nothing."""
        ids = ids_of(process)
        process.pause()
        began = time.monotonic()
        if seconds >= LEASE_SECONDS:
            self.held_posting |= {job.job_id for job in self._excuse(ids) if job.posting}
        time.sleep(max(0.0, began + seconds - time.monotonic()))
        process.resume()

    def stop(self, process: Process) -> str:
        """Stop a process with SIGTERM, as in a rollout; return all its output.

        The only excuse is an answer that was on its way when the worker aborted its call at the end of the grace
        period.
        """
        began, told_at = time.monotonic(), time.time()
        status = process.stop(_STOP_SECONDS)
        if status == -signal.SIGKILL:
            self.deaths.append(Death(process.name, time.time(), time.time()))
        # The API's server ends in good order, and then by the same signal.
        in_order = process is self.system.api and status == -signal.SIGTERM and "API stopped" in process.output()
        if status != 0 and not in_order:
            how = "was killed" if (status or 0) < 0 else "ended"
            self.problems.append(f"{process.name} {how} after {time.monotonic() - began:.1f} s, status {status}")
        broken_off = told_at + GRACE_SECONDS
        self.excuses += [
            Excuse(job_id, 0.0, broken_off, not_before=broken_off - _ON_ITS_WAY_SECONDS)
            for job_id in _HANDED_BACK.findall(process.output())
        ]
        return process.output()

    @contextlib.contextmanager
    def desk(self, **fault: Any) -> Iterator[None]:
        with self._fault(self.world.desk_fault, fault):
            yield

    @contextlib.contextmanager
    def openai(self, **fault: Any) -> Iterator[None]:
        with self._fault(self.world.openai_fault, fault):
            yield

    def expect(self, came: bool, otherwise: str) -> None:
        """Record a problem if the scenario did not cause its fault: it proves nothing."""
        if not came:
            self.problems.append(otherwise)

    @contextlib.contextmanager
    def _fault(self, order: Callable[..., None], fault: dict[str, Any]) -> Iterator[None]:
        order(**fault)
        yield
        unused = [ordered for ordered in self.world.faults() if not ordered["used"]]
        self.world.clear_faults()
        self.expect(not unused, f"faults that hit no request: {unused}")

    def _excuse(self, ids: list[int]) -> list[Held]:
        moment = time.time()
        held = jobs_held_by(ids, self.world, self.system.state["redis_url"])
        self.excuses += [Excuse(job.job_id, job.claimed, moment) for job in held if not job.answered]
        return held

    def _is_excused(self, job_id: str, claimed: float) -> bool:
        return any(excuse.job_id == job_id and excuse.claimed == claimed for excuse in self.excuses)

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
def staged(folder: Path, seed: int | None = None) -> Iterator[Stage]:
    """Run the whole system with two newly started workers for the length of the block."""
    chosen = random.SystemRandom().randrange(1_000_000) if seed is None else seed
    with System(folder, workers=2, settings=SETTINGS, openai_seconds=0.5, housekeeping=False) as system:
        world = World(system)
        stage = Stage(system, world, chosen, random.Random(chosen))  # noqa: S311 -- moments, not secrets
        stage.leases.start()
        try:
            yield stage
        finally:
            stage.leases.stop()
            world.close()
