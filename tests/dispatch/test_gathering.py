"""Batching of items that arrive while work is under way."""

import asyncio
from collections.abc import Sequence

import pytest

from dispatch.gathering import Gathering

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


async def test_a_lone_item_goes_at_once_and_later_ones_go_together() -> None:
    work = Doubling()
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


async def test_a_refused_item_costs_no_other_one_its_result() -> None:
    work = Doubling()
    gathering = Gathering(work, 9)
    tasks = await put_all(gathering, 1)
    tasks += await put_all(gathering, 2, -3, 4)
    work.free.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [result for result in results if not isinstance(result, RefusedItem)] == [2, 4, 8]
    assert isinstance(results[2], RefusedItem)


async def test_what_fails_as_a_whole_fails_for_all_that_wait_and_not_for_who_comes_later() -> None:
    work = Doubling()
    gathering = Gathering(work, 2)
    tasks = await put_all(gathering, 0)
    tasks += await put_all(gathering, 1, 2, 3)
    work.free.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [Gone] * 4
    assert await gathering.put(5) == 10
    assert work.given == [[0], [5]]


async def test_nothing_is_done_for_who_has_left_before_the_turn_of_its_item() -> None:
    work = Doubling()
    gathering = Gathering(work, 2)
    tasks = await put_all(gathering, 1)
    tasks += await put_all(gathering, 2, 3, 4)
    tasks[1].cancel()
    await asyncio.sleep(0.01)
    work.free.set()
    assert [await tasks[0], await tasks[2], await tasks[3]] == [2, 6, 8]
    assert work.given == [[1], [3, 4]]


async def test_who_has_left_is_not_told_and_the_others_are() -> None:
    work = Doubling()
    gathering = Gathering(work, 9)
    tasks = await put_all(gathering, 1)
    work.free.set()
    await tasks[0]
    work.free.clear()
    tasks += await put_all(gathering, 2)
    tasks += await put_all(gathering, 3)
    tasks[1].cancel()
    await asyncio.sleep(0.01)
    work.free.set()
    assert await tasks[2] == 6
    with pytest.raises(asyncio.CancelledError):
        await tasks[1]
    assert work.given == [[1], [2], [3]]
