"""A process that looks alive and does nothing is noticed, and ends so that it is started anew.

Celery on Redis can go deaf: connected, quiet, and taking nothing for minutes. What counts is progress, not a process
that exists. A store that does not answer is no reason: it would restart every process at once.
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
    """What a process should be doing."""

    def look(self, now: float) -> str | None:
        """Why there is none, by the watchdog's clock (seconds); or None. Called in the watchdog's thread."""

    def start_over(self, now: float) -> None:
        """Forget the observations: the process was held still itself."""


class Rounds:
    """Work in rounds, which says before each step how long that may take; `stuck_seconds` later it is missed."""

    def __init__(self, *, stuck_seconds: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._stuck_seconds = stuck_seconds
        self._monotonic = monotonic
        # Each is written by one thread: the first by the work's, the other by the watchdog's.
        self._missed_at: float | None = None
        self._forgiven_until = -math.inf

    def next_within(self, seconds: float) -> None:
        """Expect the next step within so many seconds."""
        self._missed_at = self._monotonic() + seconds + self._stuck_seconds

    def may_wait(self) -> None:
        """Expect nothing: the next step may take for ever, and has a watch of its own."""
        self._missed_at = None

    def look(self, now: float) -> str | None:
        """Why the work is stuck, or None."""
        missed_at = self._missed_at
        is_missed = missed_at is not None and now >= max(missed_at, self._forgiven_until)
        return "its rounds stand still" if is_missed else None

    def start_over(self, now: float) -> None:
        """Give the current step `stuck_seconds` more at least."""
        self._forgiven_until = now + self._stuck_seconds


class Each:
    """Several pieces of work, none of which may stand still."""

    def __init__(self, *parts: Progress) -> None:
        self._parts = parts

    def look(self, now: float) -> str | None:
        """Why one of them is stuck, or None."""
        return next((reason for part in self._parts if (reason := part.look(now)) is not None), None)

    def start_over(self, now: float) -> None:
        """Tell each of them."""
        for part in self._parts:
            part.start_over(now)


class Watchdog:
    """A thread of its own, so that it sees the event loop stand still too.

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
        """Watch from now on."""
        self._loop_answered_at = self._looked_at = self._monotonic()
        threading.Thread(target=self._run, name="watchdog", daemon=True).start()

    def stop(self) -> None:
        """Watch no more: a process that ends takes on nothing, and that is right."""
        self._ends.set()

    def look(self) -> str | None:
        """Why the process is stuck, or None."""
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
