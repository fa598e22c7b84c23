"""Outcomes of exceptions that stop an attempt."""

from dataclasses import replace
from functools import partial

from dispatch.outcome import How, Outcome
from integrations.errors import HeldBack, OutsideFailure, TicketGone
from observability import phrases
from observability.logging import say
from storage import claims
from storage.claims import Claim
from storage.limits import MOST_ATTEMPTS
from storage.session import DATABASE_FAILURES, Database
from workflow import retry
from workflow.attempt import Forgotten, LeftOut, NoNoteWanted
from workflow.lease import insist
from workflow.limit import AttemptTimeout
from workflow.ports import Kept, KeptAnswers


async def outcome_of(
    claim: Claim, stopped: Exception, *, database: Database, answers: KeptAnswers, settle_seconds: float
) -> Outcome:
    """Map an exception to the job's outcome, and log its own line."""
    match stopped:
        case TicketGone():
            # Logs the number of the webhook, even if the desk used another.
            say(stopped.phrase, ticket_id=claim.ticket_id)
            await _drop_unusable(claim, answers)
            return Outcome(How.SKIPPED, stopped.reason)
        case NoNoteWanted():
            if isinstance(stopped, (Forgotten, LeftOut)):
                # An earlier attempt may have left its answer.
                await answers.drop(claim.job_id)
            await _drop_unusable(claim, answers)
            return Outcome(How.SKIPPED, stopped.reason)
        case HeldBack(reason=reason, seconds=seconds, extends_deadline=extends):
            if extends or claim.seconds_left() > seconds:
                # It waits in the row, where it occupies no worker and no message, and costs no attempt.
                return Outcome(How.HELD_BACK, reason, seconds=seconds, extends_deadline=extends)
            failed = Outcome(How.FAILED, reason, "gave up at its deadline", failure=stopped)
        case _:
            failed = _failed(stopped)
            decision = retry.decide(stopped, claim.attempt, claim.seconds_left(), settle_seconds)
            failed = replace(failed, words=decision.words)
            if decision.seconds is not None:
                return replace(failed, how=How.RETRIED, seconds=decision.seconds)
    may_be_there = partial(claims.may_have_posted, database, claim)
    if claim.attempt <= MOST_ATTEMPTS and await insist(may_be_there):
        words = f"will be looked for once more in {settle_seconds:.0f}s"
        return replace(failed, how=How.LOOKED_FOR, words=words, seconds=settle_seconds)
    await answers.drop(claim.job_id, Kept.LOOK, Kept.UNUSABLE)
    return failed


async def _drop_unusable(claim: Claim, answers: KeptAnswers) -> None:
    """Delete an answer's placeholders: they live no longer than its job."""
    if claim.started_before:
        await answers.drop(claim.job_id, Kept.UNUSABLE)


def _failed(failure: Exception) -> Outcome:
    if isinstance(failure, OutsideFailure):
        say(failure.phrase, failure.values, also=failure.also)
        return Outcome(How.FAILED, failure.reason, failure=failure)
    if isinstance(failure, AttemptTimeout):
        return Outcome(How.FAILED, "attempt took too long", failure=failure)
    if isinstance(failure, DATABASE_FAILURES):
        say(phrases.DATABASE_UNREACHABLE, reason="unreachable", failure=failure)
        return Outcome(How.FAILED, "database unreachable", failure=failure)
    return Outcome(How.FAILED, "unexpected failure", failure=failure, unforeseen=True)
