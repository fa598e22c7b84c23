"""The write that ends an attempt, when the worker stops just then."""

import asyncio

import pytest
from sqlalchemy.exc import OperationalError

from storage.claims import LeaseLost
from workflow.lease import insist_shortly_before, settle


class Row:
    """A write that takes its time, and fails in the ways that the database does."""

    def __init__(self, seconds: float = 0.05, failures: tuple[Exception, ...] = ()) -> None:
        self.began = asyncio.Event()
        self.tried = self.written = 0
        self._seconds = seconds
        self._failures = list(failures)

    async def write(self) -> None:
        self.tried += 1
        self.began.set()
        await asyncio.sleep(self._seconds)
        if self._failures:
            raise self._failures.pop(0)
        self.written += 1


async def stopped(row: Row, seconds: float = 3) -> asyncio.Task[None]:
    """An attempt that is cancelled while it settles."""
    task = asyncio.create_task(settle(row.write, stopping_seconds=seconds))
    await row.began.wait()
    task.cancel()
    await asyncio.wait({task}, timeout=5)
    return task


async def test_a_write_that_is_under_way_is_finished_and_the_attempt_goes_on_to_its_line() -> None:
    row = Row()
    task = await stopped(row)
    assert not task.cancelled()
    assert task.exception() is None
    assert (row.tried, row.written) == (1, 1)


async def test_a_claim_that_is_found_lost_then_is_told() -> None:
    task = await stopped(Row(failures=(LeaseLost(),)))
    assert isinstance(task.exception(), LeaseLost)


async def test_a_database_that_is_away_just_then_is_asked_again() -> None:
    row = Row(failures=(OperationalError("?", None, Exception()),))
    task = await stopped(row)
    assert task.exception() is None
    assert (row.tried, row.written) == (2, 1)


async def test_a_write_that_is_not_done_in_some_seconds_is_given_up() -> None:
    """The claim is given back then, or runs out: the row has no outcome, and no line tells one."""
    row = Row(seconds=0.3)
    task = await stopped(row, seconds=0.05)
    assert task.cancelled()
    await asyncio.sleep(0.4)
    assert row.written == 0


class HeldStill:
    """A write whose answer is read late, since the process was held still; by then the claim may be lost."""

    def __init__(self, seconds: float, *, lost: bool) -> None:
        self.tried = 0
        self._seconds = seconds
        self._lost = lost

    async def write(self) -> None:
        self.tried += 1
        if self.tried == 1:
            await asyncio.sleep(self._seconds)
        elif self._lost:
            raise LeaseLost


async def test_who_was_held_still_before_posting_does_not_post_when_the_job_is_lost() -> None:
    row = HeldStill(0.1, lost=True)
    with pytest.raises(LeaseLost):
        await insist_shortly_before(row.write, 0.05)
    assert row.tried == 2


async def test_who_was_held_still_and_has_the_job_all_the_same_announces_again() -> None:
    row = HeldStill(0.1, lost=False)
    await insist_shortly_before(row.write, 0.05)
    assert row.tried == 2


async def test_an_announcement_that_came_at_once_is_enough() -> None:
    row = HeldStill(0, lost=True)
    await insist_shortly_before(row.write, 0.05)
    assert row.tried == 1
