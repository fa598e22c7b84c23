"""The retry policy, and the outcomes of exceptions that stop an attempt."""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from db.session import DATABASE_FAILURES
from integrations.errors import DeferredError, ExternalError, PermanentError, TemporaryError, TicketGoneError
from jobs import claims
from jobs.claims import Claim
from jobs.outcomes import Outcome, OutcomeKind
from jobs.repository import LEFT_OUT, MAX_ATTEMPTS
from observability import log_events
from observability.logging import log_event
from privacy.tombstones import FORGOTTEN
from workflow.exclusions import NoNoteWantedError
from workflow.lease import retry_until_available
from workflow.state import AttemptTimeoutError, Services
from workflow.stored_answers import StoredKind

FIRST_SECONDS = 2.0
MAX_SECONDS = 300.0
LAST_TRY_SECONDS = 60.0
"""The time of the last attempt before the deadline: one takes about 45 s."""
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
    | PermanentError         | never                                                       |
    | TemporaryError         | after 2 s, 4 s, ... 300 s, not before its `Retry-After`     |
    |   that is later than   | once, a minute before the deadline: a server may be back    |
    |     the deadline       | earlier than announced; the job has nothing to lose         |
    |   of unknown outcome   | the same, not before `settle_seconds`                       |
    | unexpected errors      | after 2 s, 4 s, ... 300 s                                   |
    | DeferredError          | nothing failed: after its seconds, see `outcome_of`         |

    At most 8 attempts, and none that would begin past the job's deadline.
    """
    if isinstance(failure, PermanentError):
        return Decision(None, "not retried")
    if attempt >= MAX_ATTEMPTS:
        return Decision(None, f"gave up after {attempt} attempts")
    seconds = min(MAX_SECONDS, FIRST_SECONDS * 2 ** (attempt - 1)) * jitter(*_JITTER)
    if isinstance(failure, TemporaryError) and failure.outcome_unknown:
        seconds = max(seconds, settle_seconds)
    retry_after = (
        failure.retry_after if isinstance(failure, TemporaryError) and failure.retry_after is not None else 0.0
    )
    beyond = retry_after > seconds and retry_after >= seconds_left
    # Within the last minute, such a server is not called again.
    if seconds_left <= seconds or (beyond and seconds_left - LAST_TRY_SECONDS <= seconds):
        return Decision(None, "gave up at its deadline" + (", the server requires a longer wait" if beyond else ""))
    if beyond:
        seconds = seconds_left - LAST_TRY_SECONDS
        return Decision(seconds, f"will be retried in {seconds:.0f}s, the last time before its deadline")
    seconds = max(seconds, retry_after)
    return Decision(seconds, f"will be retried in {seconds:.0f}s")


async def outcome_of(services: Services, claim: Claim, stopped: Exception) -> Outcome:
    """Map an exception to the job's outcome, and log its own line."""
    answers, settle_seconds = services.answers, services.note_settle_seconds
    match stopped:
        case TicketGoneError() | NoNoteWantedError():
            if isinstance(stopped, TicketGoneError):
                # Logs the number of the webhook, even if the desk used another.
                log_event(stopped.phrase, ticket_id=claim.ticket_id)
            if stopped.reason in {FORGOTTEN, LEFT_OUT}:
                # An earlier attempt may have left its answer.
                await answers.drop(claim.job_id)
            elif claim.started_before:
                # An answer's placeholders live no longer than its job.
                await answers.drop(claim.job_id, StoredKind.UNUSABLE)
            return Outcome(OutcomeKind.SKIPPED, stopped.reason)
        case DeferredError(reason=reason, seconds=seconds, extends_deadline=extends):
            if extends or claim.seconds_left() > seconds:
                # A job that waits in its row occupies no worker and no message, and uses no attempt.
                return Outcome(OutcomeKind.DEFERRED, reason, seconds=seconds, extends_deadline=extends)
            failed = Outcome(OutcomeKind.FAILED, reason, "gave up at its deadline", failure=stopped)
        case _:
            decision = decide(stopped, claim.attempt, claim.seconds_left(), settle_seconds)
            failed = replace(_failed(stopped), consequence=decision.words)
            if decision.seconds is not None:
                return replace(failed, kind=OutcomeKind.RETRIED, seconds=decision.seconds)
    if claim.attempt <= MAX_ATTEMPTS and await retry_until_available(claims.may_have_posted, services.database, claim):
        words = f"will be looked for once more in {settle_seconds:.0f}s"
        return replace(failed, kind=OutcomeKind.FINAL_CHECK, consequence=words, seconds=settle_seconds)
    await answers.drop(claim.job_id, StoredKind.LOOK, StoredKind.UNUSABLE)
    return failed


def _failed(failure: Exception) -> Outcome:
    if isinstance(failure, ExternalError):
        log_event(failure.phrase, failure.values, also=failure.also)
        return Outcome(OutcomeKind.FAILED, failure.reason, failure=failure)
    if isinstance(failure, AttemptTimeoutError):
        return Outcome(OutcomeKind.FAILED, "attempt took too long", failure=failure)
    if isinstance(failure, DATABASE_FAILURES):
        log_event(log_events.DATABASE_UNREACHABLE, reason="unreachable", failure=failure)
        return Outcome(OutcomeKind.FAILED, "database unreachable", failure=failure)
    return Outcome(OutcomeKind.FAILED, "unexpected failure", failure=failure, unforeseen=True)
