"""A circuit breaker for a dead dependency."""

import time
from collections.abc import Callable


class StoreBreaker:
    """Open for `rest_seconds` after a failure; then one call tries first.

    It saves time and never refuses: a caller without an alternative tries anyway.
    """

    def __init__(self, rest_seconds: float = 5.0, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._rest = rest_seconds
        self._monotonic = monotonic
        self._failing = False
        self._next_try_at = 0.0

    def lets_try(self) -> bool:
        """Return True if closed, and once every `rest_seconds` if open."""
        now = self._monotonic()
        if not self._failing:
            return True
        if now < self._next_try_at:
            return False
        self._next_try_at = now + self._rest
        return True

    def failed(self) -> None:
        self._failing = True
        self._next_try_at = self._monotonic() + self._rest

    def worked(self) -> None:
        self._failing = False
