"""The rate of a desk: within each minute, for all processes together, and without Redis."""

import asyncio
from bisect import bisect_left
from collections.abc import Callable
from itertools import pairwise

import pytest
from redis.asyncio import Redis

from integrations.errors import HeldBack
from integrations.rate import LONGEST_HOLD_SECONDS, DeskRate, LocalBucket, Pace
from worker.queue import open_redis


class Time:
    """A clock, and a sleep that moves it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


@pytest.mark.parametrize("share", [1, 4])
@pytest.mark.parametrize("per_minute", [1, 2, 5, 30, 60, 300, 6000])
def test_no_minute_has_more_calls_than_the_rate(per_minute: int, share: int) -> None:
    """Whoever calls as soon as it may, after a long rest: each minute that begins with a call is counted."""
    time = Time()
    bucket = LocalBucket(Pace.of(per_minute, share), time)
    calls: list[float] = []
    while time.now < 1180:
        let_through, seconds = bucket.take(10_000)
        assert let_through
        time.now += seconds
        calls.append(time.now)
    most = max(bisect_left(calls, first + 60) - bisect_left(calls, first) for first in calls)
    assert most <= max(1, per_minute / share)
    assert most >= max(1, per_minute / share * 0.8 - 1)


def test_a_burst_is_let_through_at_once_and_the_next_calls_wait_evenly() -> None:
    bucket = LocalBucket(Pace.of(30), Time())
    waits = [bucket.take(5) for _ in range(8)]
    assert waits[:5] == [(True, 0)] * 5
    assert [wait for _, wait in waits[5:7]] == pytest.approx([2.4, 4.8])
    assert waits[7][0] is False


def test_who_is_held_back_is_told_a_turn_of_its_own() -> None:
    """They don't come back all at once to be refused again, and none is sent away for longer than five minutes."""
    time = Time()
    bucket = LocalBucket(Pace.of(30), time)
    while bucket.take(5)[0]:
        pass
    seconds = [bucket.take(5)[1] for _ in range(60)]
    steps = {round(later - sooner, 3) for sooner, later in pairwise(seconds)}
    assert steps == {7.2, 0, round(LONGEST_HOLD_SECONDS - max(s for s in seconds if s < 300), 3)}
    assert max(seconds) == LONGEST_HOLD_SECONDS


async def test_all_processes_share_one_bucket_by_the_clock_of_redis(redis: Redis, redis_url: str) -> None:
    other = open_redis(redis_url, seconds=5)
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    rates = [DeskRate("acme", 30, client, sleep=sleep) for client in (redis, other)]
    for turn in range(7):
        await rates[turn % 2].take()
    assert waited == pytest.approx([2.4, 4.8], abs=0.5)
    held = [await held_back(rates[turn % 2].take) for turn in range(3)]
    assert held == pytest.approx([7.2, 14.4, 21.6], abs=0.7)
    await DeskRate("globex", 30, redis, sleep=sleep).take()
    assert len(waited) == 2
    assert set(await redis.keys()) == {"rate:acme", "rate:globex"}
    assert 600 < await redis.ttl("rate:acme") < 700
    await other.aclose()


async def held_back(take: Callable[[], object]) -> float:
    """The seconds that a call is held back for."""
    with pytest.raises(HeldBack, match="desk rate limit") as held:
        await take()  # type: ignore[misc]  # it is a coroutine's function
    return held.value.seconds


@pytest.mark.parametrize("shared", [True, False])
async def test_a_call_that_can_not_be_held_back_any_more_is_counted_and_waits_so_long_at_most(
    redis: Redis, *, shared: bool
) -> None:
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    # 60 a minute without Redis are a burst of two, and then one each 4.8 s.
    rate = DeskRate("acme", 6 if shared else 60, redis if shared else None, patience_seconds=0, sleep=sleep)
    for _ in range(1 if shared else 2):
        await rate.take()
    before = await held_back(rate.take)
    await rate.take_anyway(5)
    await rate.take_anyway(3)
    await rate.take_anyway(100)
    assert waited[:2] == pytest.approx([min(before, 5), 3], abs=0.5)
    assert waited[2] > before
    with pytest.raises(HeldBack):
        await rate.take()


async def test_the_bucket_of_redis_fills_again(redis: Redis) -> None:
    rate = DeskRate("acme", 1200, redis)
    started = asyncio.get_running_loop().time()
    for _ in range(220):
        await rate.take()
    assert 0.9 < asyncio.get_running_loop().time() - started < 3


async def test_the_two_buckets_are_one_rule(redis: Redis) -> None:
    """The script and its stand-in tell the same waits."""
    time = Time()
    waits: list[list[float]] = [[], []]

    async def script_sleep(seconds: float) -> None:
        waits[0].append(seconds)

    shared = DeskRate("acme", 6, redis, patience_seconds=30, sleep=script_sleep)
    local = LocalBucket(Pace.of(6), time)
    for _ in range(6):
        let_through, seconds = local.take(30)
        if let_through:
            await shared.take()
            waits[1] += [seconds] if seconds else []
        else:
            waits[0].append(await held_back(shared.take))
            waits[1].append(seconds)
    assert waits[0] == pytest.approx(waits[1], abs=0.5)
    assert len(waits[0]) == 5


async def test_without_redis_a_process_takes_a_quarter_and_asks_redis_again_later(redis: Redis) -> None:
    time = Time()
    gone = open_redis("redis://127.0.0.1:1/0", seconds=1)
    rate = DeskRate("acme", 240, gone, monotonic=time, sleep=time.sleep)
    started = time.now
    for _ in range(60):
        await rate.take()
    # A quarter's burst of ten, then 50 a minute.
    assert time.now - started == pytest.approx(60, abs=1.5)
    await gone.aclose()
    assert await redis.keys() == []


async def test_a_redis_that_came_back_is_used_again(redis: Redis, redis_url: str) -> None:
    time = Time()
    client = open_redis(redis_url, seconds=5)
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
