"""Noticing a dead dependency once, and not with each request."""

import time
from collections.abc import Callable


class Breaker:
    """Open for `rest_seconds` after a failure. It saves time; whoever has no other way tries all the same."""

    def __init__(self, rest_seconds: float = 5.0, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._rest = rest_seconds
        self._monotonic = monotonic
        self._closed_again_at = 0.0

    @property
    def is_open(self) -> bool:
        """Whether the dependency failed just now."""
        return self._monotonic() < self._closed_again_at

    def failed(self) -> None:
        """A call failed."""
        self._closed_again_at = self._monotonic() + self._rest

    def worked(self) -> None:
        """A call went through."""
        self._closed_again_at = 0.0
