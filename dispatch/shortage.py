"""How many messages were lost, from counts alone."""

import time
from collections import deque
from collections.abc import Callable

# A worker that takes a message claims a job with it or gives it back within half a minute: one that does not is dead.
_SURE_SECONDS = 40.0


class Shortage:
    """The list was too short by so many messages each time that a relay looked, for long enough."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._seen: deque[tuple[float, int]] = deque()

    def lost(self, short: int, *, unclaimed: int) -> int:
        """Return how many messages were lost; none if `short` is not above 0.

        `short`: how many more jobs should have a message than the list has. `unclaimed`: how many messages may be in
        the hands of workers that have not claimed a job yet. Some of these may be of workers that died, so what the
        list has been short of for so long is lost all the same.
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
