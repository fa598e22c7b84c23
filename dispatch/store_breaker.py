"""Noticing a dead dependency once, and not with each request."""

import time
from collections.abc import Callable


class StoreBreaker:
    """Open for `rest_seconds` after a failure; then one call tries, and the others go on without it until it worked.

    It saves time, it never refuses: whoever has no other way tries all the same.
    """

    def __init__(self, rest_seconds: float = 5.0, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._rest = rest_seconds
        self._monotonic = monotonic
        self._failing = False
        self._next_try_at = 0.0

    def lets_try(self) -> bool:
        """Return True if this call is to try: always while all is well, once every `rest_seconds` after a failure."""
        now = self._monotonic()
        if not self._failing:
            return True
        if now < self._next_try_at:
            return False
        self._next_try_at = now + self._rest
        return True

    def failed(self) -> None:
        """Count a failed call."""
        self._failing = True
        self._next_try_at = self._monotonic() + self._rest

    def worked(self) -> None:
        """Note a call that succeeded."""
        self._failing = False
