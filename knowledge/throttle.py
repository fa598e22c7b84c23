"""Rate of background calls to a desk: at most a third of the desk's own rate, so that jobs have the rest."""

import asyncio
import time
from collections import deque

from config.tenants import DeskSettings

_SHARE_OF_RATE = 3
# A desk that takes one call in three minutes would otherwise only copy its newest tickets.
_LEAST_CALLS = 30


def _limit(rate_per_minute: int) -> tuple[int, float]:
    return max(1, rate_per_minute // _SHARE_OF_RATE), max(60.0, 60.0 * _SHARE_OF_RATE / rate_per_minute)


def call_seconds(desk: DeskSettings) -> float:
    calls, seconds = _limit(desk.rate_per_minute)
    return seconds / calls


def round_seconds(desk: DeskSettings, interval: float) -> float:
    """Return the length of a round: `interval` seconds, and at least thirty calls."""
    return max(interval, _LEAST_CALLS * call_seconds(desk))


class SyncThrottle:
    """Throttle of one desk; each call also yields to jobs (`integrations.rate_limit`)."""

    def __init__(self, rate_per_minute: int) -> None:
        self._calls, self._seconds = _limit(rate_per_minute)
        self._recent: deque[float] = deque()
        self._lock = asyncio.Lock()

    async def wait(self) -> None:
        async with self._lock:
            now = time.monotonic()
            while self._recent and now - self._recent[0] >= self._seconds:
                self._recent.popleft()
            if len(self._recent) >= self._calls:
                await asyncio.sleep(self._seconds - (now - self._recent[0]))
            self._recent.append(time.monotonic())


class SyncThrottles:
    """The throttle of each desk and rate, kept between rounds and shared by all background work."""

    def __init__(self) -> None:
        self._throttles: dict[tuple[str, int], SyncThrottle] = {}

    def of(self, tenant_id: str, desk: DeskSettings) -> SyncThrottle:
        rate = desk.rate_per_minute
        return self._throttles.setdefault((tenant_id, rate), SyncThrottle(rate))
