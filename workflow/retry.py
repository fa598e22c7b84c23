"""The retry policy: error -> delay until the next attempt, or end."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from integrations.errors import Permanent, Temporary
from storage.limits import MOST_ATTEMPTS

FIRST_SECONDS = 2.0
LONGEST_SECONDS = 300.0
LAST_TRY_SECONDS = 60.0
"""How long before its deadline a job is tried for the last time: one takes about 45 s."""
_JITTER = (0.8, 1.2)


@dataclass(frozen=True, slots=True)
class Decision:
    """The `seconds` until the next attempt, or None; `words` end the log line."""

    seconds: float | None
    words: str


def decide(
    failure: Exception,
    attempt: int,
    seconds_left: float,
    settle_seconds: float,
    *,
    jitter: Callable[[float, float], float] = random.uniform,
) -> Decision:
    """Return the decision after a failed attempt (the first is 1).

    `seconds_left` are those until the job's deadline.

    | failure                | retry                                                       |
    |------------------------|-------------------------------------------------------------|
    | Permanent              | never                                                       |
    | Temporary              | after 2 s, 4 s, ... 300 s, not before its `Retry-After`     |
    |   that is later than   | once, a minute before the deadline: a server may be back    |
    |     the deadline       | earlier than announced; the job has nothing to lose         |
    |   of unknown outcome   | the same, not before `settle_seconds`                       |
    | unexpected errors      | after 2 s, 4 s, ... 300 s                                   |
    | HeldBack               | nothing failed: after its seconds, see `workflow.run`       |

    At most 8 attempts, and none that would begin past the job's deadline.
    """
    if isinstance(failure, Permanent):
        return Decision(None, "not retried")
    if attempt >= MOST_ATTEMPTS:
        return Decision(None, f"gave up after {attempt} attempts")
    seconds = min(LONGEST_SECONDS, FIRST_SECONDS * 2 ** (attempt - 1)) * jitter(*_JITTER)
    if isinstance(failure, Temporary) and failure.outcome_unknown:
        seconds = max(seconds, settle_seconds)
    asked_for = failure.retry_after if isinstance(failure, Temporary) and failure.retry_after is not None else 0.0
    beyond = asked_for > seconds and asked_for >= seconds_left
    # Within the last minute, such a server is not called again.
    if seconds_left <= seconds or (beyond and seconds_left - LAST_TRY_SECONDS <= seconds):
        return Decision(None, "gave up at its deadline" + (", the server asked to wait for longer" if beyond else ""))
    if beyond:
        seconds = seconds_left - LAST_TRY_SECONDS
        return Decision(seconds, f"will be retried in {seconds:.0f}s, the last time before its deadline")
    seconds = max(seconds, asked_for)
    return Decision(seconds, f"will be retried in {seconds:.0f}s")
