"""A server that is down is noticed once, and not by each job: one breaker for a tenant's desk, one for the model.

Each process has its own and notices by itself.
"""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from integrations.errors import HeldBack, OutsideFailure, Temporary
from observability import metrics, phrases
from observability.logging import say

MOST_FAILURES = 5
REST_SECONDS = 15.0


class Breaker:
    """Open after `most_failures` in a row that say "down"; after `rest_seconds` one call tries, then all or none.

    `server` names what is called in the lines of its opening and closing, and in the metric unless it is not `shown`;
    `reason` is what held back jobs say.
    """

    def __init__(
        self,
        server: str,
        reason: str,
        *,
        most_failures: int = MOST_FAILURES,
        rest_seconds: float = REST_SECONDS,
        shown: bool = True,
        monotonic: Callable[[], float] = time.monotonic,
        jitter: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.server = server
        self._reason = reason
        self._most_failures = most_failures
        self._rest = rest_seconds
        self._monotonic = monotonic
        self._jitter = jitter
        self._failures = 0
        self._open_until: float | None = None
        self._trying = False
        # Calls that began before it opened or closed end after that: what they met says nothing about now.
        self._era = 0
        if shown:
            metrics.BREAKER_OPEN.labels(server).set_function(lambda: float(self._open_until is not None))

    def check(self) -> None:
        """Raise HeldBack when a call would not be let through now."""
        if self._open_until is None:
            return
        left = self._open_until - self._monotonic()
        if left > 0:
            raise self._held_back(left)
        if self._trying:
            # The trial's outcome is not known yet; most are known within a moment.
            raise self._held_back(self._rest / 3)

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Watch over one call, the block: its outcome counts. Raises HeldBack instead of beginning it while open.

        A Temporary failure that is `down` counts against the server; any other answer, a refusal included, shows that
        it is up. What is no answer (a cancelled call) counts for nothing.
        """
        self.check()
        era = self._era
        trial = self._open_until is not None
        self._trying = trial
        try:
            yield
        except OutsideFailure as failure:
            self._heard(era, down=isinstance(failure, Temporary) and failure.down)
            raise
        else:
            self._heard(era, down=False)
        finally:
            if trial and era == self._era:
                self._trying = False  # without an outcome: the next call tries

    def _heard(self, era: int, *, down: bool) -> None:
        if era != self._era:
            return
        if not down:
            self._failures = 0
            if self._open_until is not None:
                self._turn(None)
                say(phrases.BREAKER_CLOSED, server=self.server)
            return
        self._failures += 1
        if self._open_until is not None:
            self._turn(self._monotonic() + self._rest)
        elif self._failures >= self._most_failures:
            self._turn(self._monotonic() + self._rest)
            say(phrases.BREAKER_OPENED, server=self.server, count=self._failures, seconds=f"{self._rest:g}")

    def _turn(self, open_until: float | None) -> None:
        self._open_until = open_until
        self._trying = False
        self._era += 1

    def _held_back(self, seconds: float) -> HeldBack:
        # Not all at the same moment, and none before the rest is over.
        return HeldBack(self._reason, seconds + self._jitter(0, self._rest / 5), extends_deadline=False)
