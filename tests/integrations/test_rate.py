"""A desk's rate: per minute, in order, for all processes, without Redis."""

import asyncio
from bisect import bisect_left
from itertools import pairwise
from random import Random

import pytest
from redis.asyncio import Redis

from dispatch.queue import open_redis
from integrations.errors import HeldBack
from integrations.rate import LONGEST_HOLD_SECONDS, DeskRate, LocalBucket, Pace, Standing, Throttle
from tests.kit.clock import Clock


@pytest.mark.parametrize("share", [1, 4])
@pytest.mark.parametrize("per_minute", [1, 2, 3, 5, 7, 10, 12, 13, 30, 60, 300, 6000])
def test_no_minute_has_more_calls_than_the_rate(per_minute: int, share: int) -> None:
    """Callers come as early as allowed; each minute that begins with a call counts.

    Two calls may come closer by two seconds of latency, and the minute still holds.
    """
    time = Clock()
    bucket = LocalBucket(Pace.of(per_minute, share), time)
    calls: list[float] = []
    while time.now < 1000 + 180 * max(1, share / per_minute):
        let_through, seconds = bucket.take(10_000)
        assert let_through
        time.now += seconds
        calls.append(time.now)
    most = max(bisect_left(calls, first + 62) - bisect_left(calls, first) for first in calls)
    assert most <= max(1, per_minute // share)
    assert most >= max(1, per_minute // share * 0.8 - 1)
    # Four processes share one rate.
    within = bisect_left(calls, calls[0] + 62 * max(1, share / per_minute)) if per_minute < share else most
    assert within == most


def test_a_burst_is_let_through_at_once_and_the_next_calls_wait_evenly() -> None:
    bucket = LocalBucket(Pace.of(30), Clock())
    waits = [bucket.take(5) for _ in range(7)]
    assert waits[:5] == [(True, 0)] * 5
    assert [wait for _, wait in waits[5:]] == pytest.approx([63 / 26, 126 / 26])
    assert bucket.take(4.9)[0] is False


def test_who_is_held_back_is_told_a_turn_of_its_own() -> None:
    """They must not all return at once, and none waits longer than five minutes."""
    time = Clock()
    bucket = LocalBucket(Pace.of(60), time)
    while bucket.take(5)[0]:
        pass
    seconds: list[float] = []
    for number in range(120):
        time.now += 1e-6
        seconds.append(bucket.take(5, Standing.NEW, str(number))[1])
    steps = {round(later - sooner, 2) for sooner, later in pairwise(seconds)}
    # Three calls apart, except those at the five minute limit.
    assert len(steps) == 3
    assert {round(3 * 63 / 51, 2), 0} < steps
    assert max(seconds) == LONGEST_HOLD_SECONDS
    assert seconds[0] < 10


async def test_all_processes_share_one_bucket_by_the_clock_of_redis(redis: Redis, redis_url: str) -> None:
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


async def held_back(rate: DeskRate, who: str = "") -> float:
    """Return the seconds for which a call is held back."""
    with pytest.raises(HeldBack, match="desk rate limit") as held:
        await rate.take(who)
    return held.value.seconds


async def test_the_bucket_of_redis_fills_again(redis: Redis) -> None:
    rate = DeskRate("acme", 1200, redis)
    started = asyncio.get_running_loop().time()
    for _ in range(220):
        await rate.take()
    assert 0.9 < asyncio.get_running_loop().time() - started < 3


async def test_the_two_buckets_are_one_rule(redis: Redis) -> None:
    """The Lua script and its stand-in agree for any sequence of calls."""
    told: list[tuple[bool, float]] = []

    async def nothing(_seconds: float) -> None: ...

    shared = DeskRate("acme", 6, redis, patience_seconds=30, sleep=nothing)
    local = LocalBucket(Pace.of(6))
    random = Random(1)  # noqa: S311 -- no secret
    for _ in range(100):
        standing, who = random.choice(list(Standing)), random.choice("abcdef")
        who = who if standing in (Standing.NEW, Standing.BEGUN) else ""
        patience = 0 if standing is Standing.COPY else 30
        taken = await shared._take(standing, who)
        expected = local.take(patience, standing, who)
        assert taken == pytest.approx(expected, abs=0.5), (standing, who)
        told.append(taken)
    assert {let_through for let_through, _ in told} == {True, False}


async def test_without_redis_a_process_takes_a_quarter_and_asks_redis_again_later(redis: Redis) -> None:
    time = Clock()
    gone = open_redis("redis://127.0.0.1:1/0", seconds=1)
    rate = DeskRate("acme", 240, gone, monotonic=time, sleep=time.sleep)
    started = time.now
    for _ in range(60):
        await rate.take()
    # The burst is a quarter of a minute's calls (ten), then the rest of the minute's.
    assert time.now - started == pytest.approx(62, abs=1.5)
    await gone.aclose()
    assert await redis.keys() == []


async def test_a_redis_that_came_back_is_used_again(redis: Redis, redis_url: str) -> None:
    time = Clock()
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


@pytest.mark.parametrize("later", [None, 5, 1320])
def test_a_second_throttled_call_does_not_shorten_the_hold(later: float | None) -> None:
    clock = Clock()
    throttle = Throttle(clock, lambda _low, _high: 0)
    throttle.begin(1320)
    throttle.begin(later)
    clock.now += 1319
    with pytest.raises(HeldBack, match="desk throttled"):
        throttle.check()
    clock.now += 1
    throttle.check()
