"""A desk's rate line: held jobs complete; later jobs and copies do not overtake."""

import heapq
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from random import Random

import pytest

from integrations.rate import DeskRate, LocalBucket, Pace, Standing
from tests.kit.clock import Clock

GPT4_SECONDS = 20.0


@dataclass
class SimulatedJob:
    """A job and its outcome."""

    came: float
    calls: list[float] = field(default_factory=list)
    holds: int = 0


class Simulation:
    """Jobs at one desk, with calls to read, look and post; held ones return late."""

    def __init__(self, per_minute: int, patience: float = 5) -> None:
        self.now = 0.0
        self.calls: list[float] = []
        self.copied: list[float] = []
        self.away: set[str] = set()
        self.jobs: dict[str, SimulatedJob] = {}
        self._patience = patience
        self._bucket = LocalBucket(Pace.of(per_minute), lambda: self.now)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._random = Random(7)  # noqa: S311 -- no secret

    def at(self, moment: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._events, (moment, next(self._order), what))

    def job(self, came: float) -> None:
        who = str(len(self.jobs))
        self.jobs[who] = SimulatedJob(came)
        self.at(came, lambda: self._step(who))

    def copies(self, every: float) -> None:
        """Make housekeeping's calls one after the other."""
        let_through, seconds = self._bucket.take(0, Standing.COPY)
        if let_through:
            assert not self.away
            self.calls.append(self.now)
            self.copied.append(self.now)
        self.at(self.now + (every if let_through else max(1, seconds)), lambda: self.copies(every))

    def _step(self, who: str) -> None:
        job = self.jobs[who]
        standing = Standing.BEGUN if job.calls else Standing.NEW
        let_through, seconds = self._bucket.take(self._patience, standing, who)
        if not let_through:
            job.holds += 1
            self.away.add(who)
            self.at(self.now + max(1, seconds) + self._random.uniform(0, 2), lambda: self._step(who))
            return
        self.away.discard(who)
        moment = self.now + seconds
        job.calls.append(moment)
        self.calls.append(moment)
        if len(job.calls) < 3:
            self.at(moment + (GPT4_SECONDS if len(job.calls) == 1 else 0.05), lambda: self._step(who))

    def run(self, until: float) -> None:
        while self._events and self._events[0][0] <= until:
            self.now, _, what = heapq.heappop(self._events)
            what()

    def most_in_a_minute(self) -> int:
        calls = sorted(self.calls)
        return max(bisect_left(calls, first + 60) - index for index, first in enumerate(calls))


@pytest.mark.parametrize("per_minute", [1, 2, 5, 10, 12, 13, 14, 60, 300])
def test_many_jobs_at_once_all_complete_as_fast_as_the_rate_allows(per_minute: int) -> None:
    world = Simulation(per_minute)
    for _ in range(50):
        world.job(0)
    interval = Pace.of(per_minute).interval
    world.run(150 * interval * 1.3 + 120)
    assert all(len(job.calls) == 3 for job in world.jobs.values())
    assert world.most_in_a_minute() <= per_minute
    # Between its look and its note only the few jobs that have begun as well can come.
    assert max(job.calls[2] - job.calls[1] for job in world.jobs.values()) < max(60, 6 * interval)


@pytest.mark.parametrize("per_minute", [1, 10, 13, 60])
def test_those_that_come_later_do_not_starve_those_that_are_held(per_minute: int) -> None:
    """A burst, then as many new jobs as the desk can serve; the line must move."""
    world = Simulation(per_minute)
    interval = Pace.of(per_minute).interval
    for _ in range(20):
        world.job(0)
    for number in range(100):
        world.job(1 + number * interval * 3)
    world.run(100 * interval * 3)
    ended = [job.calls[2] for job in list(world.jobs.values())[:20]]
    assert max(ended) < 20 * 3 * interval * 1.5 + 300
    waits = [job.calls[2] - job.came for job in world.jobs.values() if len(job.calls) == 3]
    assert len(waits) > 70
    assert max(waits) < 40 * 3 * interval + 600


@pytest.mark.parametrize("per_minute", [1, 10, 60])
def test_copies_take_no_call_while_jobs_wait(per_minute: int) -> None:
    interval = Pace.of(per_minute).interval
    world = Simulation(per_minute)
    world.at(0, lambda: world.copies(interval * 3))
    for _ in range(30):
        world.job(interval * 30)
    world.run(interval * 200)
    began, ended = interval * 30, max(job.calls[2] for job in world.jobs.values())
    # A desk with room to spare gets some while all jobs ask GPT-4.
    assert len([moment for moment in world.copied if began < moment < ended]) <= per_minute / 6
    assert len([moment for moment in world.copied if moment < began]) >= 8
    assert len([moment for moment in world.copied if moment > ended]) >= 8
    assert ended - began < 30 * 3 * interval * 1.3 + 120


async def test_a_copy_looks_again_until_nobody_waits() -> None:
    """Through the rate itself, as housekeeping does with `yields`."""
    clock = Clock(0)
    slept: list[float] = []
    rate = DeskRate("acme", 4, None, yields=True, monotonic=clock)
    bucket = rate._local
    bucket.take(0)
    assert bucket.take(0, Standing.NEW, "a job")[0] is False

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock.now += seconds
        if len(slept) == 2:
            assert bucket.take(5, Standing.NEW, "a job")[0]

    rate._sleep = sleep
    await rate.take("another")
    assert clock.now > 126
    assert len(slept) >= 3
