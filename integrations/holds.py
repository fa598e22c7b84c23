"""What no further call mends: no credit, no right, no such model, a refused key. Noticed once, and not by each job.

A sibling of `integrations.breaker`: there a server is down and comes back, here somebody has to act. So a hold begins
with the first refusal, and its time is not counted against the jobs' deadlines. Each process notices by itself.
"""

import random
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

from prometheus_client import Gauge

from integrations.errors import Denied, HeldBack
from observability import metrics, phrases
from observability.logging import say

PROBE_SECONDS = 30.0
LONGEST_WAIT_SECONDS = 300.0
_WAIT_OF_HOLD = 0.1
"""A held job comes again after this part of the time that the hold has lasted: over a day it would else come 2,900
times. Never earlier than the next probe, and never later than `LONGEST_WAIT_SECONDS`."""
_STALE_SECONDS = 2 * LONGEST_WAIT_SECONDS
"""Every job that waits for a try has come again by then: after so long without one there is none that waits."""


class HoldReason(StrEnum):
    """Why all jobs of a model are held back, in the words that people read."""

    KEY_REFUSED = "model key refused"
    OUT_OF_CREDIT = "model out of credit"
    NOT_FOUND = "model not found"
    NOT_PERMITTED = "model not permitted"


class DeskHoldReason(StrEnum):
    """Why all jobs of a tenant's desk are."""

    CREDENTIALS_REFUSED = "desk credentials refused"
    NOTES_REFUSED = "desk notes not permitted"


@dataclass(slots=True)
class WatchedCall:
    """One call under a hold."""

    granted: bool = True
    """Set it to False where the answer does not say that what was refused is granted by now."""


class Hold:
    """Begins with a Denied for one of `reasons`; every `probe_seconds` one job's call tries, and its answer ends it.

    It hears only of the calls that it watches: a right of its own has a hold of its own, which no other call's answer
    ends. `server` names the model's service, or a desk, in the lines of beginning and end, and in the metric, `gauge`.
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
        self._began_at = self._refused_at = self._try_at = self._pays_at = 0.0
        # Calls that began before the hold began or ended say nothing about now.
        self._era = 0
        for reason in self._reasons:
            gauge.labels(server, reason.value).set_function(partial(self._shown, reason))

    def _shown(self, reason: StrEnum) -> float:
        # Another process may have worked off what was held, so that no job asks this one any more.
        return float(self._reason is reason and self._monotonic() - self._refused_at < _STALE_SECONDS)

    def check(self, *, pays: bool = False) -> None:
        """Raise HeldBack when a call would not be let through now.

        `pays`: of a job that pays for something before it comes to the call. It leaves the tries to those that have
        paid already, but for one such job each ten minutes: theirs may be refused for what they alone ask for.
        """
        if self._reason is None:
            return
        now = self._monotonic()
        if now < (self._pays_at if pays else self._try_at):
            raise self._held_back(self._reason)
        if pays:
            self._pays_at = now + _STALE_SECONDS

    @contextmanager
    def watch(self) -> Iterator[WatchedCall]:
        """Watch over one call, the block. Raises HeldBack instead of beginning it while it is held.

        A Denied of the block for one of the reasons becomes HeldBack, whose time is not counted against the job's
        deadline. Any other failure says nothing about a hold, nor does an answer for which the block says so.
        """
        self.check()
        era = self._era
        if self._reason is not None:
            self._try_at = self._monotonic() + self._probe
        watched = WatchedCall()
        try:
            yield watched
        except Denied as denied:
            reason = next((reason for reason in self._reasons if reason == denied.why), None)
            if reason is None:
                raise
            if era == self._era:
                self._refused(denied, reason)
            raise self._held_back(reason) from None
        if watched.granted and era == self._era and self._reason is not None:
            self._reason = None
            self._era += 1
            say(phrases.HOLD_ENDED, server=self._server)

    def _refused(self, denied: Denied, reason: StrEnum) -> None:
        # Here, once for each probe, since no attempt of a job has failed.
        say(denied.phrase, denied.values)
        now = self._monotonic()
        self._refused_at, self._try_at = now, now + self._probe
        if self._reason is None:
            self._began_at = now
            self._pays_at = now + _STALE_SECONDS
            self._era += 1
        if self._reason is not reason:
            self._reason = reason
            say(phrases.HOLD_BEGUN, server=self._server, reason=reason.value, seconds=f"{self._probe:g}")

    def _held_back(self, reason: StrEnum) -> HeldBack:
        now = self._monotonic()
        left = self._try_at - now if self._try_at > now else self._probe
        seconds = max(left, min(LONGEST_WAIT_SECONDS, _WAIT_OF_HOLD * (now - self._began_at)))
        # Not all at the same moment.
        return HeldBack(reason.value, seconds + self._jitter(0, seconds / 5))
