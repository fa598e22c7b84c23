"""Circuit breakers, one for a tenant's desk and one for the model.

A server that is down is noticed once and not by each job. Each process has breakers of its own.
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
    """Open after `most_failures` in a row that mean "down".

    After `rest_seconds` one call probes the server. `server` names the server in log lines, and in the metric if
    `shown`; `reason` is the reason of held back jobs.
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
        # Results of calls that began in an earlier era are ignored: they are out of date.
        self._era = 0
        if shown:
            metrics.BREAKER_OPEN.labels(server).set_function(lambda: float(self._open_until is not None))

    def check(self) -> None:
        """Raise HeldBack while the breaker is open."""
        if self._open_until is None:
            return
        left = self._open_until - self._monotonic()
        if left > 0:
            raise self._held_back(left)
        if self._trying:
            # The probe's outcome is pending; most arrive within a moment.
            raise self._held_back(self._rest / 3)

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Guard one call, the block, and count its outcome.

        A Temporary failure that is `down` counts against the server; any other answer, even a refusal, shows that it is
        up. A cancelled call does not count. Raises HeldBack while open.
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
                self._trying = False  # no outcome: the next call probes

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
        # Jitter spreads the retries; none comes before the rest is over.
        return HeldBack(self._reason, seconds + self._jitter(0, self._rest / 5), extends_deadline=False)
