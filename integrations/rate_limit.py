"""Rate limiting of desk calls: one bucket per tenant, shared through Redis.

In no minute a desk gets more calls than its rate: a burst of a sixth of it, and the rest evenly (GCRA: the bucket is
the time of the next even call; a call may come ahead of it by the burst). A caller with too long a wait is deferred
and keeps its place in the queue; later callers do not overtake it, except calls that finish started jobs. Without Redis
each process takes a quarter of the rate, without a queue.
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
LONGEST_HOLD_SECONDS = 300.0
REASON = "desk rate limit"
THROTTLED = "desk throttled"
"""Reason of deferred jobs while the desk's own limit refuses calls."""
# A minute, plus the network jitter between two calls.
_MINUTE_SECONDS = 63.0
_BURST_SHARE = 6
_SHARE_WITHOUT_REDIS = 4
_CALLS_OF_A_JOB = 3
# A call is reserved for a returning caller for so long.
_EXPECTED_SECONDS = 15.0
# A later caller has lost its place.
_LATE_SECONDS = 120.0
_WITHOUT_REDIS_SECONDS = 5.0
_LOOK_AGAIN_SECONDS = 1.0
_MICROSECONDS = 1_000_000
THROTTLED_SECONDS = 60.0
# Zoho Projects locks for about 22 minutes. A longer wait is cut: the lock may be gone.
LONGEST_THROTTLE_SECONDS = 3600.0

_SCRIPT = Path(__file__).with_suffix(".lua").read_text(encoding="utf-8")


def keys_of(tenant_id: str) -> list[str]:
    return [f"{KEY}{tenant_id}{part}" for part in ("", ":places", ":turns")]


class Priority(StrEnum):
    """The priority of a caller: jobs that have BEGUN go before NEW ones, so that started jobs end.

    BACKGROUND calls pass only while no job is deferred and a call is due; they keep no place.
    """

    BEGUN = "begun"
    NEW = "new"
    BACKGROUND = "background"


@dataclass(frozen=True, slots=True)
class Pace:
    """A rate as `interval` seconds between even calls, and the size of a burst."""

    interval: float
    burst: int

    @classmethod
    def of(cls, per_minute: int, share: int = 1) -> Self:
        mine = per_minute // share
        if mine < 1:
            return cls(_MINUTE_SECONDS * share / max(1, per_minute), 1)
        burst = max(1, mine // _BURST_SHARE)
        return cls(_MINUTE_SECONDS / (mine - burst + 1), burst)

    @property
    def ahead(self) -> float:
        """Seconds that a call may come ahead of its even time."""
        return self.interval * (self.burst - 1)

    def apart(self, priority: Priority, patience: float) -> float:
        """Return the seconds between the turns of two deferred callers.

        A job makes all of its calls in its turn, unless they are so far apart that it is deferred for each.
        """
        whole = self.interval * _CALLS_OF_A_JOB
        return whole if priority is Priority.NEW and whole <= patience else self.interval


class DeskRate:
    """The rate of calls to one tenant's desk; waits over `patience_seconds` are deferred.

    `yields`: background calls, which wait until no job does.
    """

    def __init__(
        self,
        tenant_id: str,
        per_minute: int,
        redis: Redis | None,
        *,
        patience_seconds: float = PATIENCE_SECONDS,
        yields: bool = False,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._keys = keys_of(tenant_id)
        self._pace = Pace.of(per_minute)
        self._patience = patience_seconds
        self._yields = yields
        self._script = None if redis is None else redis.register_script(_SCRIPT)
        self._local_pace = Pace.of(per_minute, _SHARE_WITHOUT_REDIS)
        self._local_next = 0.0
        self._monotonic = monotonic
        self._sleep = sleep
        self._redis_again_at = 0.0

    async def take(self, caller: str = "", *, begun: bool = False) -> None:
        """Wait until the rate allows a call. Raises DeferredError if that takes too long.

        `caller` keeps its place in the queue while deferred; `begun`: it has had a call before.
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
        """Return True and seconds to wait before the call, or False and seconds to pause."""
        patience = 0.0 if priority is Priority.BACKGROUND else self._patience
        if self._script is None or self._monotonic() < self._redis_again_at:
            return self._take_locally(patience)
        pace, apart = self._pace, self._pace.apart(priority, patience)
        seconds = (pace.interval, pace.ahead, patience, apart, LONGEST_HOLD_SECONDS, _EXPECTED_SECONDS, _LATE_SECONDS)
        try:
            given: list[str | int] = [priority, caller, *(round(value * _MICROSECONDS) for value in seconds)]
            taken = await self._script(keys=self._keys, args=given)
        except (RedisError, OSError, TimeoutError):
            self._redis_again_at = self._monotonic() + _WITHOUT_REDIS_SECONDS
            return self._take_locally(patience)
        return bool(taken[0]), int(taken[1]) / _MICROSECONDS

    def _take_locally(self, patience: float) -> tuple[bool, float]:
        now = self._monotonic()
        due = max(self._local_next, now)
        wait = max(0.0, due - self._local_pace.ahead - now)
        if wait > patience:
            return False, min(wait, LONGEST_HOLD_SECONDS)
        self._local_next = due + self._local_pace.interval
        return True, wait


class ProbeRate(DeskRate):
    """The rate for diagnostic calls: never queued, and only if no job is deferred."""

    async def take(self, caller: str = "", *, begun: bool = False) -> None:  # noqa: ARG002 -- it has no place
        allowed, seconds = await self._take(Priority.BACKGROUND)
        if not allowed:
            raise DeferredError(REASON, seconds)
