"""A separate time limit for each of many waiters."""

import asyncio
from functools import partial

import pytest

from dispatch.shared_timeout import SharedTimeout, WaitedTooLong

SECONDS = 0.1


def future() -> "asyncio.Future[int]":
    return asyncio.get_running_loop().create_future()


async def test_each_waits_from_its_own_beginning() -> None:
    timeout, loop = SharedTimeout(SECONDS), asyncio.get_running_loop()
    ended: list[float] = []
    waits = []

    def note(began: float, _: object) -> None:
        ended.append(loop.time() - began)

    for _ in range(3):
        waits.append(one := future())
        began = loop.time()
        one.add_done_callback(partial(note, began))
        timeout.watch(one)
        await asyncio.sleep(SECONDS / 3)
    results = await asyncio.gather(*waits, return_exceptions=True)
    assert [type(result) for result in results] == [WaitedTooLong] * 3
    assert min(ended) >= SECONDS * 0.95
    assert max(ended) < SECONDS * 3


async def test_what_came_in_time_stays_as_it_came_and_keeps_no_other_one_waiting() -> None:
    timeout = SharedTimeout(SECONDS)
    came, left, late = future(), future(), future()
    for one in (came, left, late):
        timeout.watch(one)
    came.set_result(7)
    left.cancel()
    with pytest.raises(WaitedTooLong):
        await late
    assert came.result() == 7
    assert left.cancelled()


async def test_one_that_comes_when_all_others_are_done_is_watched_as_well() -> None:
    timeout = SharedTimeout(SECONDS)
    first = future()
    timeout.watch(first)
    first.set_result(1)
    await asyncio.sleep(SECONDS * 2)
    second = future()
    timeout.watch(second)
    with pytest.raises(WaitedTooLong):
        await second
