"""Batches of the items that arrive while the previous batch is processed."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class BatchTimeoutError(Exception):
    """The result did not come in time; it may still come."""


class Batcher(Generic[Item, Result]):
    """Batches `work`: a lone item at once, up to `most` waiting items together.

    `work` returns, in order, a result or an exception for each item. An exception that it raises goes to all waiting
    callers, including those outside this batch. Items of callers that have left are skipped. `work` runs in no caller's
    context. With `seconds`, no caller waits longer than that.
    """

    def __init__(
        self,
        work: Callable[[list[Item]], Awaitable[Sequence[Result | Exception]]],
        most: int,
        *,
        seconds: float | None = None,
    ) -> None:
        self._work = work
        self._most = most
        self._seconds = seconds
        self._waiting: deque[tuple[Item, asyncio.Future[Result]]] = deque()
        self._running: asyncio.Task[None] | None = None

    async def put(self, item: Item) -> Result:
        """Return an item's result. Raises the work's exception, or BatchTimeoutError."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        self._waiting.append((item, future))
        if self._running is None:
            self._running = loop.create_task(self._run(), context=Context())
        if self._seconds is None:
            return await future
        # A fifth of the CPU of `asyncio.timeout`.
        timer = loop.call_later(self._seconds, _resolve, future, BatchTimeoutError())
        try:
            return await future
        finally:
            timer.cancel()

    async def _run(self) -> None:
        batch: list[tuple[Item, asyncio.Future[Result]]] = []
        try:
            while batch := self._next():
                results = await self._work([item for item, _ in batch])
                for (_, future), result in zip(batch, results, strict=True):
                    _resolve(future, result)
        except Exception as failure:  # noqa: BLE001 -- raised to the waiting callers
            batch += self._waiting
            self._waiting.clear()
            for _, future in batch:
                _resolve(future, failure)
        finally:
            self._running = None

    def _next(self) -> list[tuple[Item, asyncio.Future[Result]]]:
        batch: list[tuple[Item, asyncio.Future[Result]]] = []
        while self._waiting and len(batch) < self._most:
            item, future = self._waiting.popleft()
            if not future.done():
                batch.append((item, future))
        return batch


def _resolve(future: asyncio.Future[Result], result: Result | Exception) -> None:
    if future.done():
        return  # its caller has left, or has waited too long
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)
