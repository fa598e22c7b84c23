"""Ends of a command: work that hangs, and output that can't be written, do not delay or change them."""

import asyncio
import contextlib
import os
import sys
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, InvalidStateError, ThreadPoolExecutor
from typing import Any, TypeVar

Result = TypeVar("Result")

_ENDING_SECONDS = 0.1


class LeavingExecutor(ThreadPoolExecutor):
    """Threads, each for one call, that nobody waits for at the end: names are looked up in them, for many seconds."""

    def submit(self, fn: Callable[..., Result], /, *args: Any, **kwargs: Any) -> "Future[Result]":
        """Call it in a thread of its own."""
        future: Future[Result] = Future()

        def call() -> None:
            try:
                result = fn(*args, **kwargs)
            except BaseException as failure:  # noqa: BLE001 -- it is raised where the result is awaited
                with contextlib.suppress(InvalidStateError):
                    future.set_exception(failure)
            else:
                with contextlib.suppress(InvalidStateError):
                    future.set_result(result)

        threading.Thread(target=call, daemon=True).start()
        return future


def run_within(seconds: float, work: Coroutine[Any, Any, Result]) -> Result:
    """Run `work` to its result, in a thread that is left behind. Raises TimeoutError, and what the work raises."""
    told: Future[Result] = Future()

    async def tell() -> None:
        asyncio.get_running_loop().set_default_executor(LeavingExecutor())
        try:
            told.set_result(await work)
        except BaseException as failure:  # noqa: BLE001 -- it is raised where the result is awaited
            told.set_exception(failure)

    thread = threading.Thread(target=lambda: asyncio.run(tell()), daemon=True)
    thread.start()
    try:
        return told.result(seconds)
    finally:
        # A moment for its connections to be closed.
        thread.join(_ENDING_SECONDS)


def stop_printing() -> None:
    """Discard all further output: its reader has closed the pipe (`| head`), or the disk is full."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
