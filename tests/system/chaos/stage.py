"""A running system whose parts can be broken at a chosen moment."""

import contextlib
import os
import random
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import redis

from cli.pilot.processes import Launch, Process, descendants, start_afresh
from dev.stack.system import System
from tests.kit.world import World

NOTE_SETTLE_SECONDS = 4.0
LEASE_SECONDS = 5.0
GRACE_SECONDS = 2.0
# Short times: minutes in production are seconds here.
SETTINGS = {f"{server}_TIMEOUT_SECONDS": "2" for server in ("OPENAI", "SERVICEDESK", "CONTEXT")}
SETTINGS |= {"NOTE_SETTLE_SECONDS": f"{NOTE_SETTLE_SECONDS:g}", "LEASE_SECONDS": f"{LEASE_SECONDS:g}"}
SETTINGS |= {"WORKER_GRACE_SECONDS": f"{GRACE_SECONDS:g}", "WORKER_CONCURRENCY": "32"}
# After the grace period of its jobs a worker closes its connections, with a limit of its own.
_STOP_SECONDS = GRACE_SECONDS + 6.0
_STEP_SECONDS = 20.0
_POLL_SECONDS = 0.005
_ON_ITS_WAY_SECONDS = 0.1
_HANDED_BACK = re.compile(r"Job requeued: job_id=([0-9a-f-]{36}), ticket_id=\d+, reason=worker stopping")
_LOOK_SECONDS = 0.2
# A call begins before the lease expires, or it has no excuse; GPT-4 records it when it reads it.
_CALL_ON_ITS_WAY_SECONDS = 0.5
_MAX_PER_ACCEPTED = 0.02
# In a short run beside another one, a single stall of a worker causes this many.
_FEW = 10
# Statements that a process sent to Postgres or Redis before its end are executed after it: soon, or on a busy machine
# later. No lease is that short, so no other worker has the jobs yet.
_LANDING_SECONDS, _LANDED_SECONDS = 0.2, 0.5
# The line follows the commit at once; even a busy process has printed it by then.
_LINE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Held:
    """A job that ran in the process."""

    job_id: str
    claimed: float
    """Unix seconds, when this attempt began."""
    answered: bool
    """True if GPT-4's answer is in the row, or kept in Redis: no reason whatever to ask again."""
    posting: bool
    """True if its note may be in the ticket."""


@dataclass(frozen=True, slots=True)
class Excuse:
    """A job without a stored answer when its process stopped: this attempt's call may be repeated once."""

    job_id: str
    claimed: float
    moment: float
    """Unix seconds, when the process did nothing any more."""
    not_before: float = 0.0
    """Unix seconds: an answer that was complete by then had reached the process, and has no excuse."""

    def covers(self, began: float, ended: float) -> bool:
        return self.claimed <= began <= self.moment and ended >= self.not_before


@dataclass(frozen=True, slots=True)
class Death:
    """A killed process, which may have had no time for a line."""

    process: str
    began: float
    """Unix seconds, right before the signal."""
    ended: float
    """Unix seconds, when it was gone."""

    def cut_off(self, finished: float) -> bool:
        """Return True if the process died between a commit at that time and its line."""
        return self.began - _LINE_SECONDS <= finished <= self.ended + _LANDED_SECONDS


def _owners(process: Process) -> list[str]:
    """Return the lease owners that a process and its descendants are, while it lives."""
    return [f"{os.uname().nodename}:{number}" for number in (process.pid, *descendants(process.pid))]


def too_many(ran_out: int, accepted: int) -> list[str]:
    """Return the problem if too many leases expired unforced, else none."""
    if ran_out <= max(_FEW, _MAX_PER_ACCEPTED * accepted):
        return []
    return [
        f"{ran_out} leases ran out though nobody stopped their process, more than {_FEW} "
        f"and {_MAX_PER_ACCEPTED:.0%} of {accepted} webhooks: "
        "the machine was too busy, or renewals don't work; this run proves nothing"
    ]


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
    ran_out: list[Excuse] = field(default_factory=list)
    """Attempts whose lease was seen to be over, though nobody stopped their process: the machine stalled it."""

    def watch_leases(self, over: threading.Event) -> None:
        url = self.system.state["redis_url"]
        while not over.wait(_LOOK_SECONDS):
            # A scenario stops one of the stores.
            with (
                contextlib.suppress(psycopg.Error, redis.RedisError),
                self.world.admin() as connection,
                redis.Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2) as client,
            ):
                connection.autocommit = True
                while not over.wait(_LOOK_SECONDS):
                    self._look(connection, client)

    def _look(self, connection: psycopg.Connection[Any], client: redis.Redis) -> None:
        found = connection.execute(
            "SELECT id::text, extract(epoch FROM started_at)::float, extract(epoch FROM lease_until)::float FROM jobs"
            " WHERE state = 'running' AND lease_until < clock_timestamp() AND enhancement IS NULL"
        )
        for job_id, claimed, moment in found.fetchall():
            known = any((one.job_id, one.claimed) == (job_id, claimed) for one in (*self.excuses, *self.ran_out))
            if not known and not client.exists(f"answer:{job_id}"):
                self.ran_out.append(Excuse(job_id, claimed, moment + _CALL_ON_ITS_WAY_SECONDS))

    def kill(self, process: Process, down_seconds: float = 0.5) -> list[Held]:
        """Kill a process with SIGKILL and restart it a little later; return its jobs."""
        owners, began = _owners(process), time.time()
        process.kill()
        self.deaths.append(Death(process.name, began, time.time()))
        held = self._excuse(owners)
        time.sleep(down_seconds)
        self.system.restart(process)
        return held

    def kill_at(self, phrase: str) -> list[Held]:
        return self.kill(self._next_to_say(phrase))

    def pause(self, process: Process, seconds: float) -> None:
        owners, began = _owners(process), time.monotonic()
        process.pause()
        if seconds >= LEASE_SECONDS:
            self.held_posting |= {job.job_id for job in self._excuse(owners) if job.posting}
        time.sleep(max(0.0, began + seconds - time.monotonic()))
        process.resume()

    def stop(self, process: Process) -> str:
        """Stop a process with SIGTERM, as in a rollout; return all its output.

        The only excuse is an answer on its way when the worker aborted its call at the end of the grace period.
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

    def desk(self, **fault: Any) -> contextlib.AbstractContextManager[None]:
        return self._fault(self.world.desk_fault, fault)

    def openai(self, **fault: Any) -> contextlib.AbstractContextManager[None]:
        return self._fault(self.world.openai_fault, fault)

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

    def _excuse(self, owners: list[str]) -> list[Held]:
        """Return the jobs of a process that has just stopped, from rows and Redis."""
        moment = time.time()
        time.sleep(_LANDING_SECONDS)
        with self.world.admin() as connection:
            rows = connection.execute(
                "SELECT id::text, extract(epoch FROM started_at)::float, enhancement IS NOT NULL, note_attempted_at"
                " IS NOT NULL FROM jobs WHERE state = 'running' AND lease_owner = ANY(%s)",
                (owners,),
            ).fetchall()
        with redis.Redis.from_url(self.system.state["redis_url"]) as client:
            held = [
                Held(job_id, claimed, in_row or bool(client.exists(f"answer:{job_id}")), posting)
                for job_id, claimed, in_row, posting in rows
            ]
        self.excuses += [Excuse(job.job_id, job.claimed, moment) for job in held if not job.answered]
        return held

    def _next_to_say(self, phrase: str) -> Process:
        with contextlib.ExitStack() as stack:
            logs = [(worker, stack.enter_context(worker.log_path.open("rb"))) for worker in self.system.workers]
            for _, log in logs:
                log.seek(0, os.SEEK_END)
            give_up_at = time.monotonic() + _STEP_SECONDS
            while time.monotonic() < give_up_at:
                for worker, log in logs:
                    if phrase.encode() in log.read():
                        return worker
                time.sleep(_POLL_SECONDS)
        raise AssertionError(f"no worker said {phrase!r} within {_STEP_SECONDS} s")


@contextlib.contextmanager
def staged(folder: Path, seed: int | None = None, launch: Launch = start_afresh) -> Iterator[Stage]:
    """Run the whole system with two newly started workers for the length of the block."""
    chosen = random.SystemRandom().randrange(1_000_000) if seed is None else seed
    with System(folder, workers=2, settings=SETTINGS, openai_seconds=0.5, housekeeping=False, launch=launch) as system:
        world = World(system)
        stage = Stage(system, world, chosen, random.Random(chosen))  # noqa: S311 -- moments, not secrets
        over = threading.Event()
        watch = threading.Thread(target=stage.watch_leases, args=(over,), name="leases", daemon=True)
        watch.start()
        try:
            yield stage
        finally:
            over.set()
            watch.join()
            world.close()
