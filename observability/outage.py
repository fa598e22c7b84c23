"""Log lines of an unavailable dependency: one at the start and one a minute."""

import time
from collections.abc import Callable

from observability.logging import say
from observability.phrases import Phrase


class Outage:
    """A dependency's last known state: down from `seen` until `over`."""

    def __init__(self, phrase: Phrase, again_seconds: float = 60.0, monotonic: Callable[[], float] = time.monotonic):
        self._phrase = phrase
        self._again = again_seconds
        self._monotonic = monotonic
        self._told_at: float | None = None

    def seen(self, reason: str, failure: BaseException | None = None) -> None:
        """Record a failed call; log it at once, then at most once a minute."""
        now = self._monotonic()
        if self._told_at is None or now - self._told_at >= self._again:
            self._told_at = now
            say(self._phrase, reason=reason, failure=failure)

    def over(self) -> None:
        self._told_at = None
