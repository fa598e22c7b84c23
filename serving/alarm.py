"""A time that runs out, unless what it is for comes before."""

import asyncio
from collections.abc import Callable


class Alarm:
    """A call at a later time, unless it is cancelled before."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._handle: asyncio.TimerHandle | None = None

    def set(self, seconds: float, call: Callable[[], object]) -> None:
        """Call then; one that is set already stays."""
        self._handle = self._handle or self._loop.call_later(seconds, call)

    def cancel(self) -> None:
        """Do not call; harmless where nothing is set."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
