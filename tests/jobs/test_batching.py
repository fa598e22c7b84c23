"""Batches of concurrent items: callers that left. The rest is in the tests of queue, inbox and intake."""

import asyncio

from jobs.batching import Batcher


async def test_who_has_left_is_skipped_and_the_others_are_told() -> None:
    given: list[list[int]] = []
    free = asyncio.Event()

    async def double(numbers: list[int]) -> list[int]:
        given.append(numbers)
        await free.wait()
        return [2 * number for number in numbers]

    gathering: Batcher[int, int] = Batcher(double, 2)
    tasks = []
    for number in range(1, 6):
        tasks.append(asyncio.ensure_future(gathering.put(number)))
        await asyncio.sleep(0.01)
    under_way, before_its_turn, *others = tasks
    under_way.cancel()
    before_its_turn.cancel()
    await asyncio.sleep(0.01)
    free.set()
    assert await asyncio.gather(*others) == [6, 8, 10]
    assert given == [[1], [3, 4], [5]]
