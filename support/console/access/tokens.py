"""Logging in by a token, and those who try others'.

A token has 32 characters at least, 10 of them different: trying cannot find one, however fast. So what is limited is
how much is made of failures, in lines and in answers, and never a right token, which somebody else's failures could
else keep out.
"""

import hmac
import time
from collections import deque
from collections.abc import Callable, Sequence

from config.console_access import ConsoleToken
from observability import phrases
from observability.logging import say

MOST_FAILURES = 10
WINDOW_SECONDS = 60.0


def holder_of(given: str, tokens: Sequence[ConsoleToken]) -> ConsoleToken | None:
    """Return whose token it is; it takes as long for any that is given."""
    said = given.encode("utf-8", "replace")
    found = [token for token in tokens if hmac.compare_digest(said, token.token.encode())]
    return found[0] if found else None


class Failures:
    """Failed logins of the last minute; of too many one line is said."""

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._times: deque[float] = deque(maxlen=MOST_FAILURES)
        self._untold = 0
        self._told_at = float("-inf")

    def one_more(self) -> bool:
        """Count one; True if there were too many before it, so that the line about it is not said alone."""
        now = self._monotonic()
        too_many = len(self._times) == MOST_FAILURES and now - self._times[0] < WINDOW_SECONDS
        self._times.append(now)
        if too_many:
            self._untold += 1
            if now - self._told_at >= WINDOW_SECONDS:
                say(phrases.CONSOLE_LOGINS_FAILING, count=MOST_FAILURES + self._untold)
                self._untold, self._told_at = 0, now
        return too_many
