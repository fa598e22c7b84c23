"""How fast a desk is copied: a third of its rate, and how long a round of that is."""

import asyncio
import time
from collections import deque

from config.tenants import DeskSettings

_SHARE_OF_RATE = 3
# A desk that takes one call in three minutes would else come to nothing but its newest tickets.
_LEAST_CALLS = 30


def _pace_of(rate_per_minute: int) -> tuple[int, float]:
    """How many calls within how many seconds; a third of a low rate is less than one a minute."""
    return max(1, rate_per_minute // _SHARE_OF_RATE), max(60.0, 60.0 * _SHARE_OF_RATE / rate_per_minute)


def call_seconds(desk: DeskSettings) -> float:
    """How long one call takes at that pace, on average."""
    calls, seconds = _pace_of(desk.rate_per_minute)
    return seconds / calls


def round_seconds(desk: DeskSettings, interval: float) -> float:
    """How long one round of copying may take: `interval` seconds, and time for thirty calls at least."""
    return max(interval, _LEAST_CALLS * call_seconds(desk))


class CopyPace:
    """At most a third of the desk's calls: the rest is for jobs.

    Each call waits besides until it is within the desk's own rate and no job waits for it (`integrations.rate`).
    """

    def __init__(self, rate_per_minute: int) -> None:
        self._most, self._seconds = _pace_of(rate_per_minute)
        self._calls: deque[float] = deque()

    async def wait(self) -> None:
        """Return when the next call is within the share."""
        now = time.monotonic()
        while self._calls and now - self._calls[0] >= self._seconds:
            self._calls.popleft()
        if len(self._calls) >= self._most:
            await asyncio.sleep(self._seconds - (now - self._calls[0]))
        self._calls.append(time.monotonic())
