"""Circuit breakers for servers that are down, and holds for lasting refusals.

Each process has its own. A hold is for refusals that only an operator can fix, such as a revoked key. It begins with
the first refusal, and its time is not counted against the jobs' deadlines.
"""

import random
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

from prometheus_client import Gauge

from integrations.errors import DeferredError, DeniedError, ExternalError, TemporaryError
from observability import log_events, metrics
from observability.logging import log_event

MAX_FAILURES = 5
REST_SECONDS = 15.0
PROBE_SECONDS = 30.0
MAX_WAIT_SECONDS = 300.0
# A held job's retry delay, as a share of the hold's age: a retry every 30 s would be 2,900 a day.
_WAIT_OF_HOLD = 0.1
# Held jobs retry within MAX_WAIT_SECONDS: after so long without a refusal, none is left.
_STALE_SECONDS = 2 * MAX_WAIT_SECONDS


class Breaker:
    """A circuit breaker for a server that is down.

    It opens after `most_failures` in a row. After `rest_seconds` one call probes the server. `server` is its name in
    log lines, and in the metric if `shown`; `reason` is the reason of deferred jobs.
    """

    def __init__(
        self,
        server: str,
        reason: str,
        *,
        most_failures: int = MAX_FAILURES,
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
        self._probing = False
        # Counts the changes of state. Results of calls that began in an earlier era are outdated, and ignored.
        self._era = 0
        if shown:
            metrics.BREAKER_OPEN.labels(server).set_function(lambda: float(self._open_until is not None))

    def check(self) -> None:
        """Raise DeferredError while the breaker is open, or its probe runs."""
        if self._open_until is None:
            return
        left = self._open_until - self._monotonic()
        if left > 0:
            raise self._deferred(left)
        if self._probing:
            # Most probes end within a moment.
            raise self._deferred(self._rest / 3)

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Guard one call, the block, and count its outcome.

        Raises DeferredError while open. Only a TemporaryError with `down` is a failure; a result, or any other
        ExternalError, shows that the server is up. Other exceptions, such as a cancellation, do not count.
        """
        self.check()
        era = self._era
        is_probe = self._open_until is not None
        self._probing = is_probe
        try:
            yield
        except ExternalError as failure:
            self._record(era, down=isinstance(failure, TemporaryError) and failure.down)
            raise
        else:
            self._record(era, down=False)
        finally:
            if is_probe and era == self._era:
                self._probing = False  # no outcome: the next call probes

    def _record(self, era: int, *, down: bool) -> None:
        if era != self._era:
            return
        if not down:
            self._failures = 0
            if self._open_until is not None:
                self._turn(None)
                log_event(log_events.BREAKER_CLOSED, server=self.server)
            return
        self._failures += 1
        if self._open_until is not None:
            self._turn(self._monotonic() + self._rest)
        elif self._failures >= self._most_failures:
            self._turn(self._monotonic() + self._rest)
            log_event(log_events.BREAKER_OPENED, server=self.server, count=self._failures, seconds=f"{self._rest:g}")

    def _turn(self, open_until: float | None) -> None:
        self._open_until = open_until
        self._probing = False
        self._era += 1

    def _deferred(self, seconds: float) -> DeferredError:
        return DeferredError(self._reason, seconds + self._jitter(0, self._rest / 5), extends_deadline=False)


class HoldReason(StrEnum):
    """Reasons to hold all jobs of a model."""

    KEY_REFUSED = "model key refused"
    OUT_OF_CREDIT = "model out of credit"
    NOT_FOUND = "model not found"
    NOT_PERMITTED = "model not permitted"


class DeskHoldReason(StrEnum):
    """Reasons to hold all jobs of a tenant's desk."""

    CREDENTIALS_REFUSED = "desk credentials refused"
    NOTES_REFUSED = "desk notes not permitted"


@dataclass(slots=True)
class WatchedCall:
    """One call under a hold."""

    granted: bool = True
    """False if the answer does not show that the refusal is over."""


class Hold:
    """Hold jobs after a DeniedError for one of `reasons`, until a probe succeeds.

    Every `probe_seconds` one job's call probes. Only calls in `watch` count, because each permission has its own hold.
    `server` is the name of the model's service or desk in log lines and in the metric, `gauge`.
    """

    def __init__(
        self,
        server: str,
        *,
        reasons: Iterable[StrEnum] = HoldReason,
        gauge: Gauge = metrics.MODEL_HELD,
        probe_seconds: float = PROBE_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
        jitter: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._server = server
        self._probe = probe_seconds
        self._monotonic = monotonic
        self._jitter = jitter
        self._reasons = tuple(reasons)
        self._reason: StrEnum | None = None
        self._began_at = self._refused_at = self._try_at = self._paying_probe_at = 0.0
        self._era = 0
        for reason in self._reasons:
            gauge.labels(server, reason.value).set_function(partial(self._gauge_value, reason))

    def _gauge_value(self, reason: StrEnum) -> float:
        # Falls to 0 even without a successful probe: another process may have finished the held jobs.
        return float(self._reason is reason and self._monotonic() - self._refused_at < _STALE_SECONDS)

    def check(self, *, pays: bool = False) -> None:
        """Raise DeferredError while the hold lasts.

        `pays`: the job has yet to pay for the model before this call. Such jobs probe only every ten minutes, so that
        jobs that have paid go first.
        """
        if self._reason is None:
            return
        now = self._monotonic()
        if now < (self._paying_probe_at if pays else self._try_at):
            raise self._deferred(self._reason)
        if pays:
            self._paying_probe_at = now + _STALE_SECONDS

    @contextmanager
    def watch(self) -> Iterator[WatchedCall]:
        """Guard one call, the block.

        Raises DeferredError during the hold, and in place of a DeniedError for one of the hold's reasons.
        """
        self.check()
        era = self._era
        if self._reason is not None:
            self._try_at = self._monotonic() + self._probe
        watched = WatchedCall()
        try:
            yield watched
        except DeniedError as denied:
            reason = next((reason for reason in self._reasons if reason == denied.hold_reason), None)
            if reason is None:
                raise
            if era == self._era:
                self._refused(denied, reason)
            raise self._deferred(reason) from None
        if watched.granted and era == self._era and self._reason is not None:
            self._reason = None
            self._era += 1
            log_event(log_events.HOLD_ENDED, server=self._server)

    def _refused(self, denied: DeniedError, reason: StrEnum) -> None:
        denied.log()
        now = self._monotonic()
        self._refused_at, self._try_at = now, now + self._probe
        if self._reason is None:
            self._began_at = now
            self._paying_probe_at = now + _STALE_SECONDS
            self._era += 1
        if self._reason is not reason:
            self._reason = reason
            log_event(log_events.HOLD_BEGUN, server=self._server, reason=reason.value, seconds=f"{self._probe:g}")

    def _deferred(self, reason: StrEnum) -> DeferredError:
        now = self._monotonic()
        left = self._try_at - now if self._try_at > now else self._probe
        seconds = max(left, min(MAX_WAIT_SECONDS, _WAIT_OF_HOLD * (now - self._began_at)))
        return DeferredError(reason.value, seconds + self._jitter(0, seconds / 5))
