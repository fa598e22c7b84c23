"""A timeout for silence."""

import asyncio
from types import TracebackType
from typing import Self


class Silence:
    """A block that raises TimeoutError after `seconds` without a sign of life.

    The deadline is checked when it comes, and not moved with each piece: that is a hundredth of a job's CPU.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._timeout = asyncio.timeout(None)
        self._loop = asyncio.get_running_loop()
        self.began_at = self._heard_at = self._loop.time()
        self.first_heard_at: float | None = None
        # None if the deadline had passed before the block began.
        self._timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        await self._timeout.__aenter__()
        self._look()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        await self._timeout.__aexit__(kind, failure, trace)

    def heard(self) -> None:
        self._heard_at = self._loop.time()
        if self.first_heard_at is None:
            self.first_heard_at = self._heard_at

    def expired(self) -> bool:
        return self._timeout.expired()

    def _look(self) -> None:
        ends_at = self._heard_at + self._seconds
        if ends_at <= self._loop.time():
            self._timeout.reschedule(ends_at)
        else:
            self._timer = self._loop.call_at(ends_at, self._look)
