"""A dead dependency is one line when it goes, not one for each call."""

import time
from collections.abc import Callable

from observability.logging import say
from observability.phrases import Phrase


class Outage:
    """A dependency as this process saw it last: down since `seen`, until `over`."""

    def __init__(self, phrase: Phrase, again_seconds: float = 60.0, monotonic: Callable[[], float] = time.monotonic):
        self._phrase = phrase
        self._again = again_seconds
        self._monotonic = monotonic
        self._told_at: float | None = None

    def seen(self, reason: str, failure: BaseException | None = None) -> None:
        """Note a failed call: log it now, and once a minute as long as it goes on."""
        now = self._monotonic()
        if self._told_at is None or now - self._told_at >= self._again:
            self._told_at = now
            say(self._phrase, reason=reason, failure=failure)

    def over(self) -> None:
        """Note a call that worked."""
        self._told_at = None
