"""A time limit that holds even if the work ignores cancellation."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


class Budget:
    """Limits the time of work, and references late tasks so that none is lost."""

    def __init__(self) -> None:
        self._left_behind: set[asyncio.Task[Any]] = set()

    async def within(self, seconds: float, work: Coroutine[Any, Any, Result]) -> Result:
        """Return the result of `work`, or raise TimeoutError after `seconds`.

        Late work is cancelled and not awaited: psycopg spends up to ten seconds on cancelling a statement of a server
        that does not answer.
        """
        task = asyncio.ensure_future(work)
        try:
            done, _ = await asyncio.wait({task}, timeout=seconds)
        except asyncio.CancelledError:
            task.cancel()
            raise
        if done:
            return task.result()
        self._left_behind.add(task)
        task.add_done_callback(self._forget)
        task.cancel()
        raise TimeoutError

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._left_behind.discard(task)
        if not task.cancelled():
            task.exception()  # retrieved, so that asyncio does not warn; the caller has gone on without it
