"""The final write of an attempt while the worker stops."""

import asyncio

import pytest
from sqlalchemy.exc import OperationalError

from storage.claims import LeaseLost
from workflow.lease import insist_shortly_before, settle


class SlowWrite:
    """A slow write that fails as the database does."""

    def __init__(self, seconds: float = 0.05, failures: tuple[Exception, ...] = ()) -> None:
        self.began = asyncio.Event()
        self.tried = self.written = 0
        self._seconds = seconds
        self._failures = list(failures)

    async def __call__(self) -> None:
        self.tried += 1
        self.began.set()
        await asyncio.sleep(self._seconds)
        if self._failures:
            raise self._failures.pop(0)
        self.written += 1


async def stopped(write: SlowWrite, seconds: float = 3) -> asyncio.Task[None]:
    task = asyncio.create_task(settle(write, stopping_seconds=seconds))
    await write.began.wait()
    task.cancel()
    await asyncio.wait({task}, timeout=5)
    return task


async def test_a_write_that_is_under_way_is_finished_and_the_attempt_goes_on_to_its_line() -> None:
    write = SlowWrite()
    task = await stopped(write)
    assert not task.cancelled()
    assert task.exception() is None
    assert (write.tried, write.written) == (1, 1)


async def test_a_claim_that_is_found_lost_then_is_told() -> None:
    task = await stopped(SlowWrite(failures=(LeaseLost(),)))
    assert isinstance(task.exception(), LeaseLost)


async def test_a_database_that_is_away_just_then_is_asked_again() -> None:
    write = SlowWrite(failures=(OperationalError("?", None, Exception()),))
    task = await stopped(write)
    assert task.exception() is None
    assert (write.tried, write.written) == (2, 1)


async def test_a_write_that_is_not_done_in_some_seconds_is_given_up() -> None:
    """The claim is given back then, or expires: the row and the log have no outcome."""
    write = SlowWrite(seconds=0.3)
    task = await stopped(write, seconds=0.05)
    assert task.cancelled()
    await asyncio.sleep(0.4)
    assert write.written == 0


class HeldStill:
    """A write whose result is read after a suspension; the claim may be lost by then."""

    def __init__(self, seconds: float, *, lost: bool) -> None:
        self.tried = 0
        self._seconds = seconds
        self._lost = lost

    async def __call__(self) -> None:
        self.tried += 1
        if self.tried == 1:
            await asyncio.sleep(self._seconds)
        elif self._lost:
            raise LeaseLost


async def test_who_was_held_still_before_posting_does_not_post_when_the_job_is_lost() -> None:
    write = HeldStill(0.1, lost=True)
    with pytest.raises(LeaseLost):
        await insist_shortly_before(write, 0.05)
    assert write.tried == 2


async def test_who_was_held_still_and_has_the_job_all_the_same_announces_again() -> None:
    write = HeldStill(0.1, lost=False)
    await insist_shortly_before(write, 0.05)
    assert write.tried == 2


async def test_an_announcement_that_came_at_once_is_enough() -> None:
    write = HeldStill(0, lost=True)
    await insist_shortly_before(write, 0.05)
    assert write.tried == 1
