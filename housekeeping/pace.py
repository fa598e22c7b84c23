"""Pace of copying and reconciling: a third of the desk's rate; length of a round."""

import asyncio
import time
from collections import deque

from config.tenants import DeskSettings

_SHARE_OF_RATE = 3
# A desk that takes one call in three minutes would otherwise only copy its newest tickets.
_LEAST_CALLS = 30


def _pace_of(rate_per_minute: int) -> tuple[int, float]:
    return max(1, rate_per_minute // _SHARE_OF_RATE), max(60.0, 60.0 * _SHARE_OF_RATE / rate_per_minute)


def call_seconds(desk: DeskSettings) -> float:
    calls, seconds = _pace_of(desk.rate_per_minute)
    return seconds / calls


def round_seconds(desk: DeskSettings, interval: float) -> float:
    """Return the length of a round: `interval` seconds, and at least thirty calls."""
    return max(interval, _LEAST_CALLS * call_seconds(desk))


class CopyPace:
    """At most a third of the desk's calls: the rest is for jobs.

    Each call also waits for the desk's own rate and yields to jobs (`integrations.rate_limit`).
    """

    def __init__(self, rate_per_minute: int) -> None:
        self._most, self._seconds = _pace_of(rate_per_minute)
        self._calls: deque[float] = deque()
        self._line = asyncio.Lock()

    async def wait(self) -> None:
        async with self._line:
            now = time.monotonic()
            while self._calls and now - self._calls[0] >= self._seconds:
                self._calls.popleft()
            if len(self._calls) >= self._most:
                await asyncio.sleep(self._seconds - (now - self._calls[0]))
            self._calls.append(time.monotonic())


class CopyPaces:
    """The pace of each desk, kept between rounds and shared by all but jobs."""

    def __init__(self) -> None:
        self._paces: dict[tuple[str, int], CopyPace] = {}

    def of(self, tenant_id: str, rate_per_minute: int) -> CopyPace:
        return self._paces.setdefault((tenant_id, rate_per_minute), CopyPace(rate_per_minute))
