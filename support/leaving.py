"""Process exit that hanging work and unwritable output neither delay nor change."""

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
    """Executor of daemon threads, so that slow DNS lookups do not delay exit."""

    def submit(self, fn: Callable[..., Result], /, *args: Any, **kwargs: Any) -> "Future[Result]":
        future: Future[Result] = Future()

        def call() -> None:
            try:
                result = fn(*args, **kwargs)
            except BaseException as failure:  # noqa: BLE001 -- raised where the result is awaited
                with contextlib.suppress(InvalidStateError):
                    future.set_exception(failure)
            else:
                with contextlib.suppress(InvalidStateError):
                    future.set_result(result)

        threading.Thread(target=call, daemon=True).start()
        return future


def run_within(seconds: float, work: Coroutine[Any, Any, Result]) -> Result:
    """Run `work` in a daemon thread and return its result.

    Raises TimeoutError, and the work's own exceptions.
    """
    told: Future[Result] = Future()

    async def tell() -> None:
        asyncio.get_running_loop().set_default_executor(LeavingExecutor())
        try:
            told.set_result(await work)
        except BaseException as failure:  # noqa: BLE001 -- raised where the result is awaited
            told.set_exception(failure)

    thread = threading.Thread(target=lambda: asyncio.run(tell()), daemon=True)
    thread.start()
    try:
        return told.result(seconds)
    finally:
        # Time for its connections to close.
        thread.join(_ENDING_SECONDS)


def stop_printing() -> None:
    """Discard further output, after a closed pipe (`| head`) or on a full disk."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
