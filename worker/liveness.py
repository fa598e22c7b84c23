"""A worker that looks alive and takes no jobs is noticed, and ends so that it is started anew.

Celery on Redis can go deaf: connected, quiet, and taking nothing for minutes. What counts is progress, not a process
that exists. A Redis that does not answer is no reason: it would restart every worker at once.
"""

import threading
import time
from collections.abc import Callable

from redis import Redis
from redis.exceptions import RedisError

from worker.queue import QUEUE

_ROUNDS = 10


class Watchdog:
    """A thread of its own, so that it sees the event loop stand still too.

    `is_full` tells whether each slot has a job. `ask_loop` calls back from the event loop. `on_stuck` is called once,
    with the reason.
    """

    def __init__(
        self,
        redis: Redis,
        *,
        stuck_seconds: float,
        is_full: Callable[[], bool],
        ask_loop: Callable[[Callable[[], None]], object],
        on_stuck: Callable[[str], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._redis = redis
        self._stuck_seconds = stuck_seconds
        self._is_full = is_full
        self._ask_loop = ask_loop
        self._on_stuck = on_stuck
        self._monotonic = monotonic
        self._ends = threading.Event()
        self._waiting_since: float | None = None
        self._loop_answered_at = self._looked_at = monotonic()

    def start(self) -> None:
        """Watch from now on."""
        threading.Thread(target=self._run, name="watchdog", daemon=True).start()

    def stop(self) -> None:
        """Watch no more: a worker that ends takes no jobs, and that is right."""
        self._ends.set()

    def picked_up(self) -> None:
        """A message was taken from the queue."""
        self._waiting_since = None

    def look(self) -> str | None:
        """Why the worker is stuck, or None."""
        now = self._monotonic()
        if now - self._looked_at > self._stuck_seconds / 2:
            # This process was held still itself: what it has seen before says nothing.
            self._waiting_since, self._loop_answered_at = None, now
        self._looked_at = now
        self._ask_loop(self._loop_answers)
        if now - self._loop_answered_at >= self._stuck_seconds:
            return "its event loop stands still"
        if self._is_full() or not self._jobs_wait():
            self._waiting_since = None
            return None
        if self._waiting_since is None:
            self._waiting_since = now
        return "jobs wait and none is taken" if now - self._waiting_since >= self._stuck_seconds else None

    def _loop_answers(self) -> None:
        self._loop_answered_at = self._monotonic()

    def _jobs_wait(self) -> bool:
        try:
            return bool(self._redis.llen(QUEUE))
        except (RedisError, OSError):
            return False

    def _run(self) -> None:
        while not self._ends.wait(self._stuck_seconds / _ROUNDS):
            reason = self.look()
            if reason is not None:
                self._on_stuck(reason)
                return
