"""How fast a desk is copied: a third of its rate, and what a whole copy takes at that."""

import asyncio
import time

from config.tenants import DeskSettings

NEWEST = 100
"""How many tickets and solutions a sync copies at most: a page of the desk's lists."""
_SHARE_OF_RATE = 3


def _pace_of(rate_per_minute: int) -> tuple[int, float]:
    """How many calls within how many seconds; a third of a low rate is less than one a minute."""
    return max(1, rate_per_minute // _SHARE_OF_RATE), max(60.0, 60.0 * _SHARE_OF_RATE / rate_per_minute)


def full_copy_seconds(settings: DeskSettings) -> float:
    """How long the pace makes a copy of all the newest tickets and solutions take: 2 minutes to half a day."""
    calls, seconds = _pace_of(settings.rate_per_minute)
    return (2 * NEWEST + 2) * seconds / calls


class CopyPace:
    """At most a third of the desk's calls: the rest is for jobs.

    Each call waits besides until it is within the desk's own rate and no job waits for it (`integrations.rate`).
    """

    def __init__(self, rate_per_minute: int) -> None:
        self._most, self._seconds = _pace_of(rate_per_minute)
        self._calls: list[float] = []

    async def wait(self) -> None:
        """Return when the next call is within the share."""
        now = time.monotonic()
        self._calls = [moment for moment in self._calls if now - moment < self._seconds]
        if len(self._calls) >= self._most:
            await asyncio.sleep(self._seconds - (now - self._calls[0]))
        self._calls.append(time.monotonic())
