"""Restart of processes that run without progress.

Celery on Redis can hang: connected, but taking no task for minutes. The watchdog therefore checks progress. An
unavailable store is no reason: it would restart all processes at once.
"""

import math
import threading
import time
from collections.abc import Callable
from typing import Protocol

from config.exits import AWAY_EXIT

STUCK_EXIT = AWAY_EXIT
_ROUNDS = 10


class Progress(Protocol):
    """Expected progress of a process."""

    def look(self, now: float) -> str | None:
        """Return the reason for missing progress, or None; `now` is in seconds.

        Called in the watchdog's thread.
        """

    def start_over(self, now: float) -> None:
        """Reset the observations: the process itself was suspended."""


class Rounds:
    """Work in rounds with a time limit per step, missed after `stuck_seconds` more."""

    def __init__(self, *, stuck_seconds: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._stuck_seconds = stuck_seconds
        self._monotonic = monotonic
        # Each attribute is written by one thread: the first by the work's, the other by the watchdog's.
        self._missed_at: float | None = None
        self._forgiven_until = -math.inf

    def next_within(self, seconds: float) -> None:
        self._missed_at = self._monotonic() + seconds + self._stuck_seconds

    def may_wait(self) -> None:
        """Expect nothing: the next step has no limit, and a watch of its own."""
        self._missed_at = None

    def look(self, now: float) -> str | None:
        missed_at = self._missed_at
        is_missed = missed_at is not None and now >= max(missed_at, self._forgiven_until)
        return "its rounds stand still" if is_missed else None

    def start_over(self, now: float) -> None:
        """Give the current step at least `stuck_seconds` more."""
        self._forgiven_until = now + self._stuck_seconds


class Each:
    """Several pieces of work, each of which must progress."""

    def __init__(self, *parts: Progress) -> None:
        self._parts = parts

    def look(self, now: float) -> str | None:
        return next((reason for part in self._parts if (reason := part.look(now)) is not None), None)

    def start_over(self, now: float) -> None:
        for part in self._parts:
            part.start_over(now)


class Watchdog:
    """Checks progress in its own thread, so that it detects a blocked event loop too.

    `ask_loop` calls back from the event loop. `on_stuck` is called once, with the reason.
    """

    def __init__(
        self,
        progress: Progress,
        *,
        stuck_seconds: float,
        ask_loop: Callable[[Callable[[], None]], object],
        on_stuck: Callable[[str], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._progress = progress
        self._stuck_seconds = stuck_seconds
        self._ask_loop = ask_loop
        self._on_stuck = on_stuck
        self._monotonic = monotonic
        self._ends = threading.Event()
        self._loop_answered_at = self._looked_at = monotonic()

    def start(self) -> None:
        self._loop_answered_at = self._looked_at = self._monotonic()
        threading.Thread(target=self._run, name="watchdog", daemon=True).start()

    def stop(self) -> None:
        """Stop watching: a process that ends takes no new work."""
        self._ends.set()

    def look(self) -> str | None:
        now = self._monotonic()
        if now - self._looked_at > self._stuck_seconds / 2:
            self._loop_answered_at = now
            self._progress.start_over(now)
        self._looked_at = now
        self._ask_loop(self._loop_answers)
        if now - self._loop_answered_at >= self._stuck_seconds:
            return "its event loop stands still"
        return self._progress.look(now)

    def _loop_answers(self) -> None:
        self._loop_answered_at = self._monotonic()

    def _run(self) -> None:
        while not self._ends.wait(self._stuck_seconds / _ROUNDS):
            reason = self.look()
            if reason is not None:
                self._on_stuck(reason)
                return
