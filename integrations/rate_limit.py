"""Rate limiting of desk calls: one bucket per tenant, shared through Redis.

In no minute a desk gets more calls than its rate: a burst of a sixth of it, and the rest evenly (GCRA: the bucket is
the time of the next even call; a call may come ahead of it by the burst). A caller with too long a wait is held back
and keeps its place in the queue; later callers do not overtake it, except calls that finish started jobs. Without Redis
each process takes a quarter of the rate, and nobody has a place.
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
"""How a bucket's key begins; the tenant's id follows."""
PATIENCE_SECONDS = 5.0
LONGEST_HOLD_SECONDS = 300.0
REASON = "desk rate limit"
THROTTLED = "desk throttled"
"""Why a job is held back while the desk refuses calls for their rate, by its own limit."""
# A minute, plus the network jitter between two calls.
_MINUTE_SECONDS = 63.0
_BURST_SHARE = 6
_SHARE_WITHOUT_REDIS = 4
_CALLS_OF_A_JOB = 3
# A call is reserved for a returning caller for so long; then those behind it are let through.
_EXPECTED_SECONDS = 15.0
# A caller that is this late has lost its place: most likely it does not come back.
_LATE_SECONDS = 120.0
_WITHOUT_REDIS_SECONDS = 5.0
_LOOK_AGAIN_SECONDS = 1.0
_MICROSECONDS = 1_000_000
THROTTLED_SECONDS = 60.0
# Zoho Projects locks for about 22 minutes; a longer wait is tried earlier, since the lock may be gone.
LONGEST_THROTTLE_SECONDS = 3600.0

_SCRIPT = Path(__file__).with_suffix(".lua").read_text(encoding="utf-8")


def keys_of(tenant_id: str) -> list[str]:
    return [f"{KEY}{tenant_id}{part}" for part in ("", ":places", ":turns")]


class Standing(StrEnum):
    """The priority of a caller."""

    BEGUN = "begun"
    """A job that has had its first call: it goes before those that have not, lest many begin and none ends."""
    NEW = "new"
    COPY = "copy"
    """Nobody waits for it: it is let through while nobody is held back and a call is due, and keeps no place."""


@dataclass(frozen=True, slots=True)
class Pace:
    """A rate as `interval` seconds between even calls, and the size of a burst."""

    interval: float
    burst: int

    @classmethod
    def of(cls, per_minute: int, share: int = 1) -> Self:
        """Return the pace that keeps any minute within `per_minute` (divided by `share`)."""
        mine = per_minute // share
        if mine < 1:
            return cls(_MINUTE_SECONDS * share / max(1, per_minute), 1)
        burst = max(1, mine // _BURST_SHARE)
        return cls(_MINUTE_SECONDS / (mine - burst + 1), burst)

    @property
    def ahead(self) -> float:
        """Seconds that a call may come ahead of its even time."""
        return self.interval * (self.burst - 1)

    def apart(self, standing: Standing, patience: float) -> float:
        """Return the seconds between the turns of two held back callers.

        A job makes all of its calls in its turn, unless they are so far apart that it is held back for each.
        """
        whole = self.interval * _CALLS_OF_A_JOB
        return whole if standing is Standing.NEW and whole <= patience else self.interval


class LocalBucket:
    """The bucket of one process, without places."""

    def __init__(self, pace: Pace, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._pace = pace
        self._monotonic = monotonic
        self._next = 0.0

    def take(self, patience: float) -> tuple[bool, float]:
        """Return True and seconds to wait before the call, or False and seconds to pause."""
        now = self._monotonic()
        due = max(self._next, now)
        wait = max(0.0, due - self._pace.ahead - now)
        if wait > patience:
            return False, min(wait, LONGEST_HOLD_SECONDS)
        self._next = due + self._pace.interval
        return True, wait


class DeskRate:
    """The calls to one tenant's desk; waits over `patience_seconds` are held back.

    `yields`: background calls, which wait until no job does, however long.
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
        self._local = LocalBucket(Pace.of(per_minute, _SHARE_WITHOUT_REDIS), monotonic)
        self._monotonic = monotonic
        self._sleep = sleep
        self._redis_again_at = 0.0

    async def take(self, who: str = "", *, begun: bool = False) -> None:
        """Wait until the rate allows a call. Raises DeferredError if that takes too long.

        `who` keeps its place in the queue while held back; `begun`: it has had a call before.
        """
        while self._yields:
            let_through, seconds = await self._take(Standing.COPY)
            if let_through:
                return
            await self._sleep(max(_LOOK_AGAIN_SECONDS, seconds))
        let_through, seconds = await self._take(Standing.BEGUN if begun else Standing.NEW, who)
        if not let_through:
            raise DeferredError(REASON, seconds)
        if seconds:
            await self._sleep(seconds)

    async def _take(self, standing: Standing, who: str = "") -> tuple[bool, float]:
        """Take from the shared bucket, or from this process's while Redis, after a failure, rests some seconds."""
        patience = 0.0 if standing is Standing.COPY else self._patience
        if self._script is None or self._monotonic() < self._redis_again_at:
            return self._local.take(patience)
        pace, apart = self._pace, self._pace.apart(standing, patience)
        seconds = (pace.interval, pace.ahead, patience, apart, LONGEST_HOLD_SECONDS, _EXPECTED_SECONDS, _LATE_SECONDS)
        try:
            given: list[str | int] = [standing, who, *(round(value * _MICROSECONDS) for value in seconds)]
            taken = await self._script(keys=self._keys, args=given)
        except (RedisError, OSError, TimeoutError):
            self._redis_again_at = self._monotonic() + _WITHOUT_REDIS_SECONDS
            return self._local.take(patience)
        return bool(taken[0]), int(taken[1]) / _MICROSECONDS


class ProbeRate(DeskRate):
    """The rate for diagnostic calls: never queued, and only if no job is held back."""

    async def take(self, who: str = "", *, begun: bool = False) -> None:  # noqa: ARG002 -- it has no place
        let_through, seconds = await self._take(Standing.COPY)
        if not let_through:
            raise DeferredError(REASON, seconds)
