"""How long an attempt may take."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress


class AttemptTimeout(Exception):
    """An attempt took longer than `ATTEMPT_TIMEOUT_SECONDS`, GPT-4's answer not counted, or the job's deadline came."""


class AttemptLimit:
    """The seconds of an attempt, from now on, and those to the job's deadline, whichever are over first."""

    def __init__(self, seconds: float, seconds_to_deadline: float) -> None:
        now = asyncio.get_running_loop().time()
        self._end = now + seconds
        self._deadline = now + seconds_to_deadline
        self._timeout = asyncio.timeout_at(min(self._end, self._deadline))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the block, once, within the limit. Raises AttemptTimeout."""
        try:
            async with self._timeout:
                yield
        except TimeoutError as failure:
            if self._timeout.expired():
                raise AttemptTimeout from failure
            raise

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave the time of the block out of account, but for the deadline: it has limits of its own."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        self._move(self._deadline)
        try:
            yield
        finally:
            self._end += loop.time() - began
            self._move(min(self._end, self._deadline))

    def _move(self, when: float) -> None:
        with suppress(RuntimeError):  # the deadline has come
            self._timeout.reschedule(when)
