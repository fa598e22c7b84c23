"""Number of lost messages, from counts alone."""

import time
from collections import deque
from collections.abc import Callable

# A worker claims a job with a message or gives it back within half a minute, unless it died.
_SURE_SECONDS = 40.0


class Shortage:
    """The number of messages missing at every check for long enough."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._seen: deque[tuple[float, int]] = deque()

    def lost(self, short: int, *, unclaimed: int) -> int:
        """Return how many messages were lost; 0 if `short` is not positive.

        `short`: how many more jobs should have a message than the list has. `unclaimed`: messages that workers may hold
        without a claim. Some of those workers may be dead, so a shortage that lasts counts as lost too.
        """
        now = self._monotonic()
        if short <= 0:
            self._seen.clear()
            return 0
        self._seen.append((now, short))
        lasted = now - self._seen[0][0] >= _SURE_SECONDS
        while now - self._seen[0][0] > _SURE_SECONDS:
            self._seen.popleft()
        always = min(seen for _, seen in self._seen) if lasted else 0
        found = max(short - unclaimed, always)
        if found > 0:
            self._seen.clear()
        return max(found, 0)
