"""Batches of concurrent items: failures, callers that left, and limits of time."""

import asyncio
from collections.abc import Sequence

import pytest

from dispatch.gathering import Gathering, WaitedTooLong


class Gone(Exception):
    """The failure of a batch."""


class Doubling:
    """Doubles numbers once released, and records each batch; 0 fails."""

    def __init__(self) -> None:
        self.given: list[list[int]] = []
        self.free = asyncio.Event()

    async def __call__(self, numbers: list[int]) -> Sequence[int | Exception]:
        self.given.append(numbers)
        await self.free.wait()
        if 0 in numbers:
            raise Gone
        return [2 * number for number in numbers]


async def put_all(gathering: Gathering[int, int], *numbers: int) -> list[asyncio.Task[int]]:
    tasks = [asyncio.ensure_future(gathering.put(number)) for number in numbers]
    await asyncio.sleep(0.01)
    return tasks


@pytest.fixture
def work() -> Doubling:
    return Doubling()


async def test_a_failed_batch_fails_for_all_that_wait_and_not_for_later_items(work: Doubling) -> None:
    gathering = Gathering(work, 2)
    tasks = [*await put_all(gathering, 0), *await put_all(gathering, 1, 2, 3)]
    work.free.set()
    assert [type(told) for told in await asyncio.gather(*tasks, return_exceptions=True)] == [Gone] * 4
    assert await gathering.put(5) == 10
    assert work.given == [[0], [5]]


@pytest.mark.parametrize("left", [1, 0], ids=["before its turn", "under way"])
async def test_who_has_left_is_skipped_and_the_others_are_told(left: int, work: Doubling) -> None:
    gathering = Gathering(work, 2)
    tasks = await put_all(gathering, 1)
    tasks += await put_all(gathering, 2, 3, 4)
    tasks.pop(left).cancel()
    await asyncio.sleep(0.01)
    work.free.set()
    assert await asyncio.gather(*tasks) == ([2, 6, 8] if left else [4, 6, 8])
    assert work.given == ([[1], [3, 4]] if left else [[1], [2, 3], [4]])


async def test_each_waits_no_longer_than_its_own_time(work: Doubling) -> None:
    gathering, loop = Gathering(work, 2, seconds=0.1), asyncio.get_running_loop()

    async def wait(before: float) -> float:
        await asyncio.sleep(before)
        began = loop.time()
        with pytest.raises(WaitedTooLong):
            await gathering.put(1)
        return loop.time() - began

    waits = await asyncio.gather(*(wait(number / 30) for number in range(3)))
    assert min(waits) >= 0.095
    assert max(waits) < 0.3
    work.free.set()
    assert await gathering.put(2) == 4
