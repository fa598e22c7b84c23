"""How often a tenant's desk is called: one bucket for each tenant, shared by all processes through Redis.

In no minute a desk gets more calls than its rate: a burst of a sixth of it, and the rest evenly. (GCRA: the bucket is
one moment, that of the next even call; a call may come as much ahead of it as the burst allows.) Without Redis each
process takes a quarter of the rate.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Self

from redis.asyncio import Redis
from redis.exceptions import RedisError

from integrations.errors import HeldBack

KEY = "rate:"
"""How a bucket's key begins; the tenant's id follows."""
PATIENCE_SECONDS = 5.0
LONGEST_HOLD_SECONDS = 300.0
REASON = "desk rate limit"
_BURST_SHARE = 6
_SHARE_WITHOUT_REDIS = 4
_CALLS_OF_A_JOB = 3
_WITHOUT_REDIS_SECONDS = 5.0
_ANY_PATIENCE = 86_400.0
_MICROSECONDS = 1_000_000

# All in microseconds, by the server's clock. `next`: when the next even call is due. `turn`: when the next job that has
# to come back finds room; each is told a later one, so that they don't come back all at once to be refused again.
_SCRIPT = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local interval, ahead, patience, job, longest = unpack(ARGV)
local kept = redis.call('HMGET', KEYS[1], 'next', 'turn')
local next = math.max(tonumber(kept[1] or 0), now)
local wait = math.max(0, next - ahead - now)
if wait <= tonumber(patience) then
  redis.call('HSET', KEYS[1], 'next', string.format('%.0f', next + interval))
  redis.call('PEXPIRE', KEYS[1], math.ceil((next + interval - now) / 1000) + 600000)
  return {1, wait}
end
local turn = math.max(tonumber(kept[2] or 0), now + wait)
local hold = math.min(turn - now, tonumber(longest))
if turn - now <= tonumber(longest) then
  redis.call('HSET', KEYS[1], 'turn', string.format('%.0f', turn + job))
end
return {0, hold}
"""


@dataclass(frozen=True, slots=True)
class Pace:
    """A rate as `interval` seconds between even calls, and how many may come at once."""

    interval: float
    burst: int

    @classmethod
    def of(cls, per_minute: int, share: int = 1) -> Self:
        """The pace that keeps each minute, wherever it begins, within `per_minute` (divided by `share`)."""
        burst = max(1, per_minute // _BURST_SHARE)
        return cls(60 / max(1, per_minute - burst) * share, max(1, burst // share))

    @property
    def ahead(self) -> float:
        """How many seconds ahead of its even moment a call may come."""
        return self.interval * (self.burst - 1)


class LocalBucket:
    """The same bucket within one process, for while Redis is away."""

    def __init__(self, pace: Pace, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._pace = pace
        self._monotonic = monotonic
        self._next = self._turn = 0.0

    def take(self, patience: float) -> tuple[bool, float]:
        """Whether a call is let through, and the seconds to wait before it; else those to stay away."""
        now = self._monotonic()
        due = max(self._next, now)
        wait = max(0.0, due - self._pace.ahead - now)
        if wait <= patience:
            self._next = due + self._pace.interval
            return True, wait
        turn = max(self._turn, now + wait)
        if turn - now <= LONGEST_HOLD_SECONDS:
            self._turn = turn + self._pace.interval * _CALLS_OF_A_JOB
        return False, min(turn - now, LONGEST_HOLD_SECONDS)


class DeskRate:
    """The calls to one tenant's desk; who would have to wait for more than `patience_seconds` is held back."""

    def __init__(
        self,
        tenant_id: str,
        per_minute: int,
        redis: Redis | None,
        *,
        patience_seconds: float = PATIENCE_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._key = f"{KEY}{tenant_id}"
        self._pace = Pace.of(per_minute)
        self._patience = patience_seconds
        self._script = None if redis is None else redis.register_script(_SCRIPT)
        self._local = LocalBucket(Pace.of(per_minute, _SHARE_WITHOUT_REDIS), monotonic)
        self._monotonic = monotonic
        self._sleep = sleep
        self._redis_again_at = 0.0

    async def take(self) -> None:
        """Wait until one more call is within the rate. Raises HeldBack at once when that would take too long."""
        let_through, seconds = await self._take(self._patience)
        if not let_through:
            raise HeldBack(REASON, seconds)
        if seconds:
            await self._sleep(seconds)

    async def take_anyway(self, at_most_seconds: float) -> None:
        """Count one call more, which can't be held back any more, and wait for its turn, but not for longer."""
        _, seconds = await self._take(_ANY_PATIENCE)
        if seconds:
            await self._sleep(min(seconds, at_most_seconds))

    async def _take(self, patience: float) -> tuple[bool, float]:
        taken = await self._take_shared(patience)
        return self._local.take(patience) if taken is None else taken

    async def _take_shared(self, patience: float) -> tuple[bool, float] | None:
        """From the shared bucket; None without Redis, which is then not asked again for some seconds."""
        if self._script is None or self._monotonic() < self._redis_again_at:
            return None
        seconds = (
            self._pace.interval,
            self._pace.ahead,
            patience,
            self._pace.interval * _CALLS_OF_A_JOB,
            LONGEST_HOLD_SECONDS,
        )
        try:
            taken = await self._script(keys=[self._key], args=[round(value * _MICROSECONDS) for value in seconds])
        except (RedisError, OSError, TimeoutError):
            self._redis_again_at = self._monotonic() + _WITHOUT_REDIS_SECONDS
            return None
        return bool(taken[0]), int(taken[1]) / _MICROSECONDS
