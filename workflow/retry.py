"""The one table: what failed -> another attempt when, or give up how."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from integrations.errors import Permanent, Temporary

MOST_ATTEMPTS = 8
FIRST_SECONDS = 2.0
LONGEST_SECONDS = 300.0
_JITTER = (0.8, 1.2)


@dataclass(frozen=True, slots=True)
class Decision:
    """`seconds` until the next attempt, or None when there is none; `words` end the line that support reads."""

    seconds: float | None
    words: str


def decide(
    failure: Exception,
    attempt: int,
    deadline: datetime,
    settle_seconds: float,
    *,
    jitter: Callable[[float, float], float] = random.uniform,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Decision:
    """What follows a failed attempt (the first is 1).

    | what failed            | again                                                    |
    |------------------------|----------------------------------------------------------|
    | Permanent              | never                                                    |
    | Temporary              | after 2 s, 4 s, ... 300 s, not before its `Retry-After`  |
    |   of unknown outcome   | the same, not before `settle_seconds`                    |
    | anything unforeseen    | after 2 s, 4 s, ... 300 s                                |
    | HeldBack               | nothing failed: after its seconds, see `workflow.run`    |

    At most 8 attempts, and none that would begin past the job's deadline.
    """
    if isinstance(failure, Permanent):
        return Decision(None, "not retried")
    if attempt >= MOST_ATTEMPTS:
        return Decision(None, f"gave up after {attempt} attempts")
    seconds = min(LONGEST_SECONDS, FIRST_SECONDS * 2 ** (attempt - 1)) * jitter(*_JITTER)
    if isinstance(failure, Temporary) and failure.retry_after is not None:
        seconds = max(seconds, failure.retry_after)
    if isinstance(failure, Temporary) and failure.outcome_unknown:
        seconds = max(seconds, settle_seconds)
    if (deadline - now()).total_seconds() <= seconds:
        return Decision(None, "gave up at its deadline")
    return Decision(seconds, f"will be retried in {seconds:.0f}s")
