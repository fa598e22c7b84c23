"""The time limit of an attempt."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress


class AttemptTimeout(Exception):
    """An attempt exceeded `ATTEMPT_TIMEOUT_SECONDS` or the job's deadline.

    GPT-4's time does not count for the first.
    """


class AttemptLimit:
    """The seconds of an attempt or to the job's deadline, whichever end first."""

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
        """Exclude the time of the block, which has limits of its own; not the deadline."""
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
