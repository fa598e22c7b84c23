"""The search for why a signature does not match, bounded: a flood of bad signatures must cost next to nothing."""

import asyncio
import hmac
import time
from collections.abc import Callable
from itertools import islice

from api.causes import Cause, Question, cause_of, guesses, readings

MOST_GUESSES = 2000
SEARCH_SECONDS = 0.025
BETWEEN_SEARCHES_SECONDS = 0.5
# So many take a few milliseconds at most: others are served in between.
_AT_ONCE = 8


class Explainer:
    """Searches, one at a time; what comes meanwhile or right after it has no cause. `now` is in seconds.

    A search may take `search_seconds` of its thread's time.
    """

    def __init__(
        self,
        between_seconds: float = BETWEEN_SEARCHES_SECONDS,
        search_seconds: float = SEARCH_SECONDS,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._between = between_seconds
        self._seconds = search_seconds
        self._now = now
        self._searches = False
        self._next_at = now()

    async def cause(self, asked: Question) -> Cause | None:
        """Return the cause if it can be told without doubt, and if there is time to look for it."""
        if self._searches or self._now() < self._next_at:
            return None
        self._searches = True
        self._next_at = self._now() + self._between
        try:
            return await _search(asked, self._seconds)
        finally:
            self._searches = False


async def _search(asked: Question, seconds: float) -> Cause | None:
    """Guess for so many seconds of this thread's time, and `MOST_GUESSES` at most."""
    digests = readings(asked.claim)
    to_come = islice(guesses(asked), MOST_GUESSES)
    spent = 0.0
    while spent < seconds:
        began = time.thread_time()
        tried = 0
        for guess in islice(to_come, _AT_ONCE):
            tried += 1
            digest = hmac.digest(guess.key, guess.signed, "sha256")
            for given, reading in digests:
                if (guess.told or reading) and hmac.compare_digest(digest, given):
                    return cause_of(guess, reading)
        if tried < _AT_ONCE:
            return None
        spent += time.thread_time() - began
        await asyncio.sleep(0)
    return None
