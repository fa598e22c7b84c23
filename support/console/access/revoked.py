"""Sessions that were ended before their time: known to this process, and through Redis to the others.

Redis may be away: then a session that was ended at another console, or before a restart, is known here again when Redis
is, for as long as the session would have lasted.
"""

import time
from collections.abc import Callable

from redis.asyncio import Redis
from redis.exceptions import RedisError

from support.console.access.sessions import LASTS_SECONDS

KEY = "console:ended:"
"""What its keys in Redis begin with."""
_REST_SECONDS = 5.0
_MOST = 10_000


class EndedSessions:
    """The ids of ended sessions."""

    def __init__(self, redis: Redis, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._redis = redis
        self._monotonic = monotonic
        self._here: dict[str, float] = {}
        self._away_until = 0.0

    async def end(self, session_id: str) -> None:
        """End a session, here at once."""
        now = self._monotonic()
        self._here = {one: over_at for one, over_at in self._here.items() if over_at > now}
        while len(self._here) >= _MOST:
            self._here.pop(next(iter(self._here)))
        self._here[session_id] = now + LASTS_SECONDS
        try:
            await self._redis.set(KEY + session_id, "1", ex=LASTS_SECONDS)
        except (RedisError, OSError, TimeoutError):
            self._away_until = self._monotonic() + _REST_SECONDS

    async def has(self, session_id: str) -> bool:
        """Return True if it was ended."""
        if session_id in self._here:
            return True
        # A page does not wait for a Redis that was away just now.
        if self._monotonic() < self._away_until:
            return False
        try:
            return bool(await self._redis.exists(KEY + session_id))
        except (RedisError, OSError, TimeoutError):
            self._away_until = self._monotonic() + _REST_SECONDS
            return False
