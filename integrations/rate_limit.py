"""Rate limiting of desk calls: one bucket per tenant, shared through Redis.

In any minute a desk gets at most its rate: a burst of a sixth, and the rest evenly spaced. The algorithm is GCRA: a
bucket stores the time of the next evenly spaced call, and a call may be ahead of it by the burst.

A caller that would wait too long is deferred and keeps its place in the queue. A later caller overtakes it only to
finish a started job, or if the rate has room for both. Without Redis each process uses a quarter of the rate, without a
queue.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Self

from redis.asyncio import Redis
from redis.exceptions import RedisError

from integrations.errors import DeferredError

KEY = "rate:"
"""Start of a bucket's key; the tenant's id follows."""
PATIENCE_SECONDS = 5.0
MAX_HOLD_SECONDS = 300.0
REASON = "desk rate limit"
THROTTLED = "desk throttled"
"""Reason of deferred jobs while the desk's own limit refuses calls."""
# A minute, and a margin for network jitter between two calls.
_MINUTE_SECONDS = 63.0
_BURST_SHARE = 6
SHARE_WITHOUT_REDIS = 4
_CALLS_OF_A_JOB = 3
# A deferred caller's call is reserved for this time after its turn began.
_EXPECTED_SECONDS = 15.0
# A deferred caller that returns later than this loses its place.
_LATE_SECONDS = 120.0
_WITHOUT_REDIS_SECONDS = 5.0
_LOOK_AGAIN_SECONDS = 1.0
_MICROSECONDS = 1_000_000
THROTTLED_SECONDS = 60.0
# Zoho Projects locks for about 22 minutes. A longer wait is cut: the lock may be gone.
MAX_THROTTLE_SECONDS = 3600.0

_SCRIPT = Path(__file__).with_suffix(".lua").read_text(encoding="utf-8")


def keys_of(tenant_id: str) -> list[str]:
    """Return the Redis keys of a tenant's rate."""
    return [f"{KEY}{tenant_id}{part}" for part in ("", ":places", ":turns")]


class Priority(StrEnum):
    """Priority of a caller: BEGUN jobs go before NEW ones, so that started jobs end.

    BACKGROUND calls pass only if no job is deferred and no wait is needed. They have no place in the queue.
    """

    BEGUN = "begun"
    NEW = "new"
    BACKGROUND = "background"


@dataclass(frozen=True, slots=True)
class Pace:
    """A rate: seconds between evenly spaced calls, and calls in a burst."""

    interval: float
    burst: int

    @classmethod
    def of(cls, per_minute: int, share: int = 1) -> Self:
        calls = per_minute // share
        if calls < 1:
            return cls(_MINUTE_SECONDS * share / max(1, per_minute), 1)
        burst = max(1, calls // _BURST_SHARE)
        return cls(_MINUTE_SECONDS / (calls - burst + 1), burst)

    @property
    def ahead(self) -> float:
        """Seconds by which a call may be ahead of its evenly spaced time."""
        return self.interval * (self.burst - 1)

    def apart(self, priority: Priority, patience: float) -> float:
        """Return the seconds between the turns of two deferred callers.

        A new job makes all of its calls in one turn, unless they take longer than `patience`: then each has a turn.
        """
        turn = self.interval * _CALLS_OF_A_JOB
        return turn if priority is Priority.NEW and turn <= patience else self.interval


class DeskRate:
    """The rate of calls to one tenant's desk.

    A caller that would wait longer than `patience_seconds` is deferred. With `yields_to_jobs`, for background work,
    calls are not deferred, but wait until no job is.
    """

    def __init__(
        self,
        tenant_id: str,
        per_minute: int,
        redis: Redis | None,
        *,
        patience_seconds: float = PATIENCE_SECONDS,
        yields_to_jobs: bool = False,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._keys = keys_of(tenant_id)
        self._pace = Pace.of(per_minute)
        self._patience = patience_seconds
        self._yields = yields_to_jobs
        self._script = None if redis is None else redis.register_script(_SCRIPT)
        self._local_pace = Pace.of(per_minute, SHARE_WITHOUT_REDIS)
        self._local_next = 0.0
        self._monotonic = monotonic
        self._sleep = sleep
        self._redis_again_at = 0.0

    async def take(self, caller: str = "", *, begun: bool = False) -> None:
        """Wait until the rate allows a call. Raises DeferredError if that takes too long.

        `caller` identifies a deferred caller, which keeps its place in the queue. `begun`: it has made a call before.
        """
        while self._yields:
            allowed, seconds = await self._take(Priority.BACKGROUND)
            if allowed:
                return
            await self._sleep(max(_LOOK_AGAIN_SECONDS, seconds))
        allowed, seconds = await self._take(Priority.BEGUN if begun else Priority.NEW, caller)
        if not allowed:
            raise DeferredError(REASON, seconds)
        if seconds:
            await self._sleep(seconds)

    async def _take(self, priority: Priority, caller: str = "") -> tuple[bool, float]:
        """Return True and the seconds to wait, or False and the seconds to the next try."""
        patience = 0.0 if priority is Priority.BACKGROUND else self._patience
        if self._script is None or self._monotonic() < self._redis_again_at:
            return self._take_locally(patience)
        pace, apart = self._pace, self._pace.apart(priority, patience)
        seconds = (pace.interval, pace.ahead, patience, apart, MAX_HOLD_SECONDS, _EXPECTED_SECONDS, _LATE_SECONDS)
        try:
            arguments: list[str | int] = [priority, caller, *(round(value * _MICROSECONDS) for value in seconds)]
            reply = await self._script(keys=self._keys, args=arguments)
        except (RedisError, OSError, TimeoutError):
            self._redis_again_at = self._monotonic() + _WITHOUT_REDIS_SECONDS
            return self._take_locally(patience)
        return bool(reply[0]), int(reply[1]) / _MICROSECONDS

    def _take_locally(self, patience: float) -> tuple[bool, float]:
        now = self._monotonic()
        due = max(self._local_next, now)
        wait = max(0.0, due - self._local_pace.ahead - now)
        if wait > patience:
            return False, min(wait, MAX_HOLD_SECONDS)
        self._local_next = due + self._local_pace.interval
        return True, wait


class ProbeRate(DeskRate):
    """The rate for diagnostic calls: never queued, and only if no job is deferred."""

    async def take(self, caller: str = "", *, begun: bool = False) -> None:  # noqa: ARG002 -- it has no place
        allowed, seconds = await self._take(Priority.BACKGROUND)
        if not allowed:
            raise DeferredError(REASON, seconds)
