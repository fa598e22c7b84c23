"""Commands that leave without waiting: their results, failures and hangs."""

import asyncio
import threading
import time

import pytest

from support.asking import run_within


async def look_up(hangs: threading.Event | None = None) -> str:
    """Return a value from a thread of the loop; a hanging thread is abandoned."""
    loop = asyncio.get_running_loop()
    if hangs is not None:
        loop.run_in_executor(None, hangs.wait)
    return await loop.run_in_executor(None, lambda: "found")


async def fail() -> None:
    raise LookupError("of the work")


async def hang(until: threading.Event) -> None:
    """Block the loop and ignore cancellation, like a driver whose server is frozen."""
    while not until.is_set():
        time.sleep(0.01)  # noqa: ASYNC251 -- must block the loop


def test_a_result_and_a_failure_are_those_of_the_work() -> None:
    assert run_within(60, look_up()) == "found"
    with pytest.raises(LookupError, match="of the work"):
        run_within(60, fail())


def test_a_thread_that_hangs_does_not_hold_up_the_result() -> None:
    hangs = threading.Event()
    try:
        assert run_within(60, look_up(hangs)) == "found"
    finally:
        hangs.set()


def test_work_that_can_not_be_stopped_is_left_behind() -> None:
    until = threading.Event()
    try:
        with pytest.raises(TimeoutError):
            run_within(0.01, hang(until))
    finally:
        until.set()
