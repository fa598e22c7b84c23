"""Batching of items that arrive while work is under way."""

import asyncio
from collections.abc import Sequence

import pytest

from dispatch.gathering import Gathering, WaitedTooLong

Answer = int | Exception


class RefusedItem(Exception):
    """The failure of a single item."""


class Gone(Exception):
    """The failure of the whole batch."""


class Doubling:
    """Doubles numbers once released, and records each batch."""

    def __init__(self) -> None:
        self.given: list[list[int]] = []
        self.free = asyncio.Event()

    async def __call__(self, numbers: list[int]) -> Sequence[Answer]:
        self.given.append(numbers)
        await self.free.wait()
        if 0 in numbers:
            raise Gone
        return [RefusedItem() if number < 0 else 2 * number for number in numbers]


async def put_all(gathering: Gathering[int, int], *numbers: int) -> list[asyncio.Task[int]]:
    tasks = [asyncio.ensure_future(gathering.put(number)) for number in numbers]
    await asyncio.sleep(0.01)
    return tasks


@pytest.fixture
def work() -> Doubling:
    return Doubling()


async def test_a_lone_item_goes_at_once_and_later_ones_go_together(work: Doubling) -> None:
    gathering = Gathering(work, 3)
    tasks = await put_all(gathering, 1)
    assert work.given == [[1]]
    tasks += await put_all(gathering, 2, 3, 4, 5)
    assert work.given == [[1]]
    work.free.set()
    assert await asyncio.gather(*tasks) == [2, 4, 6, 8, 10]
    assert work.given == [[1], [2, 3, 4], [5]]
    assert await gathering.put(6) == 12
    assert work.given[-1] == [6]


@pytest.mark.parametrize(
    ("first", "later", "results", "given"),
    [
        (1, (2, -3, 4), [2, 4, RefusedItem, 8], [[1], [2, -3], [4], [5]]),
        # A failed batch fails for all that wait, and not for later items.
        (0, (1, 2, 3), [Gone] * 4, [[0], [5]]),
    ],
    ids=["an item", "a batch"],
)
async def test_a_refusal_is_for_those_that_it_concerns(
    first: int, later: tuple[int, ...], results: list[object], given: list[list[int]], work: Doubling
) -> None:
    gathering = Gathering(work, 2)
    tasks = await put_all(gathering, first)
    tasks += await put_all(gathering, *later)
    work.free.set()
    told = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) if isinstance(result, Exception) else result for result in told] == results
    assert await gathering.put(5) == 10
    assert work.given == given


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
    """Later results change nothing, and the next items have their own time."""
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
