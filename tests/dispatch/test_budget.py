"""A time limit that also holds for work that cannot be cancelled."""

import asyncio

import pytest

from dispatch.budget import Budget


async def test_what_comes_in_time_is_given_on() -> None:
    async def answer() -> int:
        return 7

    async def fail() -> int:
        raise KeyError("x")

    assert await Budget().within(5, answer()) == 7
    with pytest.raises(KeyError):
        await Budget().within(5, fail())


async def test_work_that_does_not_let_go_is_left_behind() -> None:
    let_go = asyncio.Event()
    ended: list[str] = []

    async def stubborn() -> None:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            await let_go.wait()
            ended.append("at last")
            raise RuntimeError("nobody hears of this") from None

    with pytest.raises(TimeoutError):
        await Budget().within(0.01, stubborn())
    assert ended == []
    let_go.set()
    await asyncio.sleep(0.01)
    assert ended == ["at last"]


async def test_a_caller_that_is_cancelled_cancels_the_work() -> None:
    cancelled: list[str] = []

    async def work() -> None:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            cancelled.append("work")
            raise

    caller = asyncio.create_task(Budget().within(30, work()))
    await asyncio.sleep(0.01)
    caller.cancel()
    await asyncio.wait({caller})
    await asyncio.sleep(0)
    assert caller.cancelled()
    assert cancelled == ["work"]
