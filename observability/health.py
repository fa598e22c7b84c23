"""Readiness of a process over HTTP, and restart of a process without progress.

Readiness is for rollouts and operators; it never causes a restart. The stores are checked in the event loop that uses
them, so a blocked loop is not ready either.

Celery on Redis can hang: connected, but taking no task for minutes. The watchdog therefore checks progress. An
unavailable store is no reason: it would restart all processes at once.
"""

import asyncio
import math
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import CancelledError
from typing import Protocol

from config.exit_codes import AWAY_EXIT
from observability import tracing

_CHECK_SECONDS = 1.5
LOOP_SECONDS = 2.5
"""Longest time until a probe is answered: the stores are checked at once, the rest is for a busy loop."""
_GIVE_UP_SECONDS = 10.0

STUCK_EXIT = AWAY_EXIT
_ROUNDS = 10
Check = Callable[[], Awaitable[object]]


class Readiness:
    """Readiness state of a process. Call it in any thread except the event loop's."""

    def __init__(self) -> None:
        self._stores: dict[str, _Store] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._works: Callable[[], bool] | None = None
        self._stopping = False

    def check_with(self, loop: asyncio.AbstractEventLoop, stores: Mapping[str, Check]) -> None:
        """Check these stores in this loop: name -> a check that raises if unavailable."""
        self._stores = {name: _Store(check) for name, check in stores.items()}
        self._loop = loop

    def start(self, works: Callable[[], bool] = lambda: True) -> None:
        """Become ready. `works` returns False while the process can't reach its work."""
        self._works = works

    def stop(self) -> None:
        """Answer not ready from now on: the process ends."""
        self._stopping = True

    def __call__(self) -> tuple[bool, dict[str, str]]:
        """Return readiness and the answer within 2.5 s: `status`, `process`, each store."""
        if self._stopping or self._loop is None:
            return _answer(self._phase(), {})
        try:
            stores = self._check_stores(self._loop)
        except CancelledError:
            # The loop ended and cancelled the check.
            return _answer("stopping", {})
        return _answer("standing still", {}) if stores is None else _answer(self._phase(), stores)

    def _phase(self) -> str:
        if self._stopping:
            return "stopping"
        if self._works is None:
            return "starting"
        return "working" if self._works() else "reconnecting"

    def _check_stores(self, loop: asyncio.AbstractEventLoop) -> dict[str, bool] | None:
        """Return each store's state; None if the loop is blocked.

        Raises CancelledError if the loop ends meanwhile.
        """
        checks = self._all()
        try:
            return asyncio.run_coroutine_threadsafe(checks, loop).result(LOOP_SECONDS)
        except TimeoutError:
            return None
        except RuntimeError:
            checks.close()  # the loop was closed meanwhile
            return None

    async def _all(self) -> dict[str, bool]:
        with tracing.untraced():
            answers = await asyncio.gather(*(store.answers() for store in self._stores.values()))
        return dict(zip(self._stores, answers, strict=True))


def _answer(process: str, stores: Mapping[str, bool]) -> tuple[bool, dict[str, str]]:
    is_ready = process == "working" and all(stores.values())
    states = {name: "ok" if answers else "unreachable" for name, answers in stores.items()}
    return is_ready, {"status": "ready" if is_ready else "not ready", "process": process, **states}


class _Store:
    """A store with one check at a time, shared by concurrent probes.

    Checks therefore hold one connection at most.
    """

    def __init__(self, check: Check) -> None:
        self._check = check
        self._running: asyncio.Task[bool] | None = None

    async def answers(self) -> bool:
        """Return True if the store answers within 1.5 s."""
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._run_check())
        done, _ = await asyncio.wait({self._running}, timeout=_CHECK_SECONDS)
        return bool(done) and not self._running.cancelled() and self._running.result()

    async def _run_check(self) -> bool:
        try:
            async with asyncio.timeout(_GIVE_UP_SECONDS):
                await self._check()
        except Exception:  # noqa: BLE001 -- users of the store log the cause
            return False
        return True


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
        # The work's thread writes the first attribute, the watchdog's thread the second.
        self._missed_at: float | None = None
        self._forgiven_until = -math.inf

    def next_within(self, seconds: float) -> None:
        """Expect the next step within `seconds`. Called in the work's thread."""
        self._missed_at = self._monotonic() + seconds + self._stuck_seconds

    def may_wait(self) -> None:
        """Expect nothing: the next step has no limit, and a watch of its own."""
        self._missed_at = None

    def look(self, now: float) -> str | None:
        missed_at = self._missed_at
        is_missed = missed_at is not None and now >= max(missed_at, self._forgiven_until)
        return "its rounds are stuck" if is_missed else None

    def start_over(self, now: float) -> None:
        """Give the current step at least `stuck_seconds` more."""
        self._forgiven_until = now + self._stuck_seconds


class CombinedProgress:
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

    `call_in_loop` calls back from the event loop. `on_stuck` is called once, with the reason.
    """

    def __init__(
        self,
        progress: Progress,
        *,
        stuck_seconds: float,
        call_in_loop: Callable[[Callable[[], None]], object],
        on_stuck: Callable[[str], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._progress = progress
        self._stuck_seconds = stuck_seconds
        self._ask_loop = call_in_loop
        self._on_stuck = on_stuck
        self._monotonic = monotonic
        self._ends = threading.Event()
        self._loop_answered_at = self._looked_at = monotonic()

    def start(self) -> None:
        """Start the thread, with the current time as the last progress."""
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
            return "its event loop is stuck"
        return self._progress.look(now)

    def _loop_answers(self) -> None:
        self._loop_answered_at = self._monotonic()

    def _run(self) -> None:
        while not self._ends.wait(self._stuck_seconds / _ROUNDS):
            reason = self.look()
            if reason is not None:
                self._on_stuck(reason)
                return
