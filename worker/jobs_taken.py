"""A worker that takes no job though jobs wait, and it has room for one, is stuck."""

from collections.abc import Callable

from redis import Redis
from redis.exceptions import RedisError

from dispatch.message import QUEUE

_NO_LIST = "ai-agents:no-list"


class JobsTaken:
    """Messages are taken from the queue: a worker with room takes one within `stuck_seconds`, if jobs wait.

    `is_full` tells whether each slot has a job.
    """

    def __init__(self, redis: Redis, *, stuck_seconds: float, is_full: Callable[[], bool]) -> None:
        self._redis = redis
        self._stuck_seconds = stuck_seconds
        self._is_full = is_full
        self._waiting_since: float | None = None

    def picked_up(self) -> None:
        """Note a message that was taken from the queue."""
        self._waiting_since = None

    def look(self, now: float) -> str | None:
        """Why the worker is stuck, or None."""
        if self._is_full() or not self._jobs_wait():
            self._waiting_since = None
            return None
        if self._waiting_since is None:
            self._waiting_since = now
        return "jobs wait and none is taken" if now - self._waiting_since >= self._stuck_seconds else None

    def start_over(self, now: float) -> None:  # noqa: ARG002 -- it begins to wait when it looks again
        """Begin the wait again."""
        self._waiting_since = None

    def _jobs_wait(self) -> bool:
        try:
            # It changes nothing, and is refused if taking a message is: by a replica, or with a full disk or memory.
            self._redis.lpushx(_NO_LIST, "")
            return bool(self._redis.llen(QUEUE))
        except (RedisError, OSError):
            # The next look is over a fresh connection: the master may be elsewhere by then.
            self._redis.close()
            return False
