"""How fast a desk is copied and its new tickets are looked for: a third of its rate; how long a round of that is."""

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
        self._line = asyncio.Lock()

    async def wait(self) -> None:
        """Return when the next call is within the share; those who wait have their turns as they came."""
        async with self._line:
            now = time.monotonic()
            while self._calls and now - self._calls[0] >= self._seconds:
                self._calls.popleft()
            if len(self._calls) >= self._most:
                await asyncio.sleep(self._seconds - (now - self._calls[0]))
            self._calls.append(time.monotonic())


class CopyPaces:
    """The pace of each desk, which goes on from one round to the next: one for all that is not a job."""

    def __init__(self) -> None:
        self._paces: dict[tuple[str, int], CopyPace] = {}

    def of(self, tenant_id: str, rate_per_minute: int) -> CopyPace:
        """Return that of a tenant's desk."""
        return self._paces.setdefault((tenant_id, rate_per_minute), CopyPace(rate_per_minute))
