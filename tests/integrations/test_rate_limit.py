"""A desk's rate: per minute, in order, for all processes, without Redis."""

import asyncio
import heapq
from bisect import bisect_left
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import count, pairwise
from random import Random
from typing import Any

import pytest
import redis
from redis.asyncio import Redis

from integrations.errors import DeferredError
from integrations.rate_limit import MAX_HOLD_SECONDS, DeskRate, ProbeRate
from jobs.queue import open_redis
from tests.kit.clock import Clock

GPT4_SECONDS = 20.0


class ClockedRedis:
    """Runs the bucket's script on a real server, by the clock of the test."""

    def __init__(self, url: str, clock: Clock) -> None:
        self._redis = redis.Redis.from_url(url)
        self._redis.flushdb()
        self._clock = clock

    def register_script(self, script: str) -> Callable[..., Awaitable[Any]]:
        clocked = self._redis.register_script(script.replace("redis.call('TIME')", "{ARGV[10], ARGV[11]}"))

        async def run(keys: list[str], args: list[str | int]) -> Any:
            seconds, microseconds = divmod(round(self._clock.now * 1_000_000), 1_000_000)
            return clocked(keys=keys, args=[*args, seconds, microseconds])

        return run


async def held_back(rate: DeskRate, who: str = "") -> float:
    """Return the seconds for which a call is held back."""
    with pytest.raises(DeferredError, match="desk rate limit") as held:
        await rate.take(who)
    return held.value.seconds


def interval_of(per_minute: int) -> float:
    """Return the seconds between two even calls."""
    return 63 / (per_minute - max(1, per_minute // 6) + 1)


@pytest.mark.parametrize("share", [1, 4])
@pytest.mark.parametrize("per_minute", [1, 2, 3, 5, 7, 12, 13, 30, 60, 600])
async def test_no_minute_has_more_calls_than_the_rate(per_minute: int, share: int, redis_url: str) -> None:
    """Callers come as early as allowed; each minute that begins with a call counts.

    Two calls may come closer by two seconds of latency, and the minute still holds. Without Redis, four processes share
    one rate.
    """
    time = Clock()
    server: Any = ClockedRedis(redis_url, time) if share == 1 else None
    rate = DeskRate("acme", per_minute, server, patience_seconds=10_000, monotonic=time, sleep=time.sleep)
    calls: list[float] = []
    while time.now < 1000 + 150 * max(1, share / per_minute):
        await rate.take()
        calls.append(time.now)
    most = max(bisect_left(calls, first + 62) - bisect_left(calls, first) for first in calls)
    assert most <= max(1, per_minute // share)
    assert most >= max(1, per_minute // share * 0.8 - 1)
    within = bisect_left(calls, calls[0] + 62 * max(1, share / per_minute)) if per_minute < share else most
    assert within == most


async def test_each_held_back_call_gets_its_own_turn(redis_url: str) -> None:
    """They must not all return at once, and none waits longer than five minutes."""
    time = Clock()
    server: Any = ClockedRedis(redis_url, time)
    rate = DeskRate("acme", 60, server, sleep=lambda _: asyncio.sleep(0))
    for _ in range(14):
        await rate.take()
    await held_back(rate)
    seconds: list[float] = []
    for number in range(120):
        time.now += 1e-6
        seconds.append(await held_back(rate, str(number)))
    steps = {round(later - sooner, 2) for sooner, later in pairwise(seconds)}
    # Three calls apart, except those at the five minute limit.
    assert len(steps) == 3
    assert {round(3 * 63 / 51, 2), 0} < steps
    assert max(seconds) == MAX_HOLD_SECONDS
    assert seconds[0] < 10


async def test_all_processes_share_one_bucket_on_the_clock_of_redis(redis: Redis, redis_url: str) -> None:
    other = open_redis(redis_url, seconds=5)
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    rates = [DeskRate("acme", 30, client, sleep=sleep) for client in (redis, other)]
    for turn in range(7):
        await rates[turn % 2].take()
    assert waited == pytest.approx([63 / 26, 126 / 26], abs=0.5)
    held = [await held_back(rates[turn % 2], str(turn)) for turn in range(3)]
    # The first one returns earlier, and waits in line.
    assert held == pytest.approx([189 / 26 - 2.5, 252 / 26, 315 / 26], abs=0.7)
    await DeskRate("globex", 30, redis, sleep=sleep).take()
    assert len(waited) == 2
    assert set(await redis.keys()) == {"rate:acme", "rate:globex", "rate:acme:places", "rate:acme:turns"}
    assert all([600 < await redis.ttl(key) < 700 for key in await redis.keys()])
    await other.aclose()


async def test_without_redis_a_process_takes_a_quarter_and_asks_redis_again_later(redis: Redis, redis_url: str) -> None:
    time, client = Clock(), open_redis(redis_url, seconds=5)
    rate = DeskRate("acme", 240, client, monotonic=time, sleep=time.sleep)
    await client.set("rate:acme", "of another type: the script fails")
    await rate.take()
    await client.delete("rate:acme")
    await rate.take()
    assert await redis.keys() == []
    time.now += 5
    await rate.take()
    assert await redis.keys() == ["rate:acme"]
    await client.aclose()
    gone = open_redis("redis://127.0.0.1:1/0", seconds=1)
    rate, started = DeskRate("acme", 240, gone, monotonic=time, sleep=time.sleep), time.now
    for _ in range(60):
        await rate.take()
    # The burst is a quarter of a minute's calls (ten), then the rest of the minute's.
    assert time.now - started == pytest.approx(62, abs=1.5)
    await gone.aclose()


@dataclass
class SimulatedJob:
    came: float
    calls: list[float] = field(default_factory=list)


class Simulation:
    """Jobs at one desk, with calls to read, look and post; held ones return late."""

    def __init__(self, redis_url: str, per_minute: int) -> None:
        self.clock = Clock(0)
        self.calls: list[float] = []
        self.copied: list[float] = []
        self.away: set[str] = set()
        self.jobs: dict[str, SimulatedJob] = {}
        self._waited = 0.0
        server: Any = ClockedRedis(redis_url, self.clock)
        self._rate = DeskRate("acme", per_minute, server, sleep=self._wait)
        self._passing = ProbeRate("acme", per_minute, server)
        self._events: list[tuple[float, int, Callable[[], Awaitable[None]]]] = []
        self._order = count()
        self._random = Random(7)  # noqa: S311 -- no secret

    async def _wait(self, seconds: float) -> None:
        self._waited = seconds

    def at(self, moment: float, what: Callable[[], Awaitable[None]]) -> None:
        heapq.heappush(self._events, (moment, next(self._order), what))

    def job(self, came: float) -> None:
        who = str(len(self.jobs))
        self.jobs[who] = SimulatedJob(came)
        self.at(came, lambda: self._step(who))

    async def copies(self, every: float) -> None:
        """Make housekeeping's calls one after the other."""
        try:
            await self._passing.take()
        except DeferredError as held:
            again = held.seconds
        else:
            assert not self.away
            self.calls.append(self.clock.now)
            self.copied.append(self.clock.now)
            again = every
        self.at(self.clock.now + again, lambda: self.copies(every))

    async def _step(self, who: str) -> None:
        job, now = self.jobs[who], self.clock.now
        self._waited = 0.0
        try:
            await self._rate.take(who, begun=bool(job.calls))
        except DeferredError as held:
            self.away.add(who)
            self.at(now + held.seconds + self._random.uniform(0, 2), lambda: self._step(who))
            return
        self.away.discard(who)
        moment = now + self._waited
        job.calls.append(moment)
        self.calls.append(moment)
        if len(job.calls) < 3:
            self.at(moment + (GPT4_SECONDS if len(job.calls) == 1 else 0.05), lambda: self._step(who))

    async def run(self, until: float) -> None:
        while self._events and self._events[0][0] <= until:
            self.clock.now, _, what = heapq.heappop(self._events)
            await what()


@pytest.mark.parametrize("per_minute", [1, 12, 13, 60])
async def test_a_burst_completes_and_does_not_starve(per_minute: int, redis_url: str) -> None:
    world, interval = Simulation(redis_url, per_minute), interval_of(per_minute)
    for _ in range(20):
        world.job(0)
    for number in range(60):
        world.job(1 + number * interval * 3)
    await world.run(60 * interval * 3)
    jobs = [job for job in world.jobs.values() if len(job.calls) == 3]
    assert max(job.calls[2] for job in list(world.jobs.values())[:20]) < 20 * 3 * interval * 1.5 + 300
    assert len(jobs) > 40
    assert max(job.calls[2] - job.came for job in jobs) < 40 * 3 * interval + 600
    calls = sorted(world.calls)
    assert max(bisect_left(calls, first + 60) - index for index, first in enumerate(calls)) <= per_minute
    # Between its look and its note only the few jobs that have begun as well can come.
    assert max(job.calls[2] - job.calls[1] for job in jobs) < max(60, 6 * interval)


@pytest.mark.parametrize("per_minute", [1, 10, 60])
async def test_copies_take_no_call_while_jobs_wait(per_minute: int, redis_url: str) -> None:
    world, interval = Simulation(redis_url, per_minute), interval_of(per_minute)
    world.at(0, lambda: world.copies(interval * 3))
    for _ in range(30):
        world.job(interval * 30)
    await world.run(interval * 200)
    began, ended = interval * 30, max(job.calls[2] for job in world.jobs.values())
    # A desk with room to spare gets some while all jobs ask GPT-4.
    assert len([moment for moment in world.copied if began < moment < ended]) <= per_minute / 6
    assert len([moment for moment in world.copied if moment < began]) >= 8
    assert len([moment for moment in world.copied if moment > ended]) >= 8
    assert ended - began < 30 * 3 * interval * 1.3 + 120


async def test_a_copy_waits_until_no_job_waits(redis_url: str) -> None:
    clock = Clock(0)
    slept: list[float] = []
    server: Any = ClockedRedis(redis_url, clock)
    jobs = DeskRate("acme", 4, server, sleep=lambda _: asyncio.sleep(0))
    await jobs.take()
    await held_back(jobs, "a job")

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock.now += seconds
        if len(slept) == 2:
            await jobs.take("a job")

    await DeskRate("acme", 4, server, yields_to_jobs=True, sleep=sleep).take("another")
    assert clock.now > 30
    assert len(slept) >= 3
