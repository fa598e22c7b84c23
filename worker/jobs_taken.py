"""Detection of a stuck worker: it has room, jobs wait, and it takes none."""

from collections.abc import Callable

from redis import Redis
from redis.exceptions import RedisError

from dispatch.queue import QUEUE

_NO_LIST = "ai-agents:no-list"


class JobsTaken:
    """Watchdog of the messages taken within `stuck_seconds`; `is_full`: no free slot."""

    def __init__(self, redis: Redis, *, stuck_seconds: float, is_full: Callable[[], bool]) -> None:
        self._redis = redis
        self._stuck_seconds = stuck_seconds
        self._is_full = is_full
        self._waiting_since: float | None = None

    def picked_up(self) -> None:
        self._waiting_since = None

    def look(self, now: float) -> str | None:
        if self._is_full() or not self._jobs_wait():
            self._waiting_since = None
            return None
        if self._waiting_since is None:
            self._waiting_since = now
        return "jobs wait and none is taken" if now - self._waiting_since >= self._stuck_seconds else None

    def start_over(self, now: float) -> None:  # noqa: ARG002 -- it begins to wait when it looks again
        self._waiting_since = None

    def _jobs_wait(self) -> bool:
        try:
            # Changes nothing, and fails if taking a message would: on a replica, or with a full disk or memory.
            self._redis.lpushx(_NO_LIST, "")
            return bool(self._redis.llen(QUEUE))
        except (RedisError, OSError):
            # The next look uses a fresh connection: the master may have moved.
            self._redis.close()
            return False
