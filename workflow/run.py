"""One job from start to end: claim it, run the graph, record the outcome, and say each of it in the log."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind
from opentelemetry.util.types import AttributeValue

from integrations.errors import MODEL_UNAVAILABLE, HeldBack, OutsideFailure, TicketGone
from observability import metrics, phrases, tracing
from observability.identifiers import bound
from observability.logging import say
from storage import claims, history
from storage.claims import Claim, LeaseLost
from storage.forgotten import was_forgotten
from storage.jobs import ANOTHER_FIRST, FORGOTTEN
from storage.limits import ANOTHER_FIRST_WAIT, MOST_ATTEMPTS
from storage.session import DATABASE_FAILURES, Database
from workflow import retry
from workflow.attempt import AlreadyEnhanced, Attempt, Echo, Forgotten
from workflow.failure_note import FAILURES_OF_GPT4, leave_failure_note
from workflow.graph import JobGraph
from workflow.lease import hold_lease, insist, settle
from workflow.ports import Desk, KeptAnswers, Model, Search


class AttemptTimeout(Exception):
    """An attempt took longer than `ATTEMPT_TIMEOUT_SECONDS`, or the job's deadline came."""


@dataclass(frozen=True, slots=True)
class Runner:
    """What running a job takes; made once for each process."""

    owner: str
    database: Database
    lease_database: Database
    """A small pool of its own for claims: none may run out because its renewal waits in line behind searches."""
    desk_of: Callable[[str], Desk]
    model: Model
    search: Search
    answers: KeptAnswers
    graph: JobGraph
    context_seconds: float
    attempt_seconds: float
    note_settle_seconds: float
    lease_seconds: float
    capture_messages: bool


async def run_job(runner: Runner, job_id: UUID) -> bool:
    """Run one attempt. False when there was nothing to claim: done already, not due, or another worker has it.

    Whatever stops the attempt is in the row and in the log when this returns. When it is cancelled (the worker stops),
    the claim is given back first. Raises one of DATABASE_FAILURES when the job could not be claimed.
    """
    with tracing.untraced():
        claim = await claims.claim(runner.lease_database, job_id, runner.owner, runner.lease_seconds)
    if claim is None:
        return False
    parent = tracing.context_of(claim.traceparent)
    identifiers = {"ticket_id": claim.ticket_id, "tenant_id": claim.tenant_id, "job_id": str(job_id)}
    with bound(**identifiers, attempt=str(claim.attempt)):
        if claim.another_first:
            _wait_for_another(claim, parent)
            return True
        tracing.queue_span(parent, claim.waiting_since, claim.claimed_at)
        attributes: dict[str, AttributeValue] = {
            "messaging.system": "celery",
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.destination.name": "celery",
            "messaging.message.id": str(job_id),
            "attempt": claim.attempt,
        }
        with tracing.span(tracing.WORKER, kind=SpanKind.CONSUMER, parent=parent, attributes=attributes) as span:
            metrics.WAIT_SECONDS.observe(max(0.0, (claim.claimed_at - claim.waiting_since).total_seconds()))
            metrics.expect_outcomes(claim.tenant_id)
            with metrics.IN_FLIGHT.track_inprogress():
                await _run_claimed(runner, claim, span)
    return True


def _wait_for_another(claim: Claim, parent: Context | None) -> None:
    """Tell of a job that was not taken, since another one of its ticket has to come to its end first."""
    with tracing.span(tracing.WORKER, kind=SpanKind.CONSUMER, parent=parent) as span:
        span.set_attribute("outcome", f"held back: {ANOTHER_FIRST}")
        metrics.ATTEMPTS.labels(claim.tenant_id, "held back").inc()
        reason = f"{ANOTHER_FIRST}, held back for {ANOTHER_FIRST_WAIT.total_seconds():.0f}s"
        say(phrases.JOB_REQUEUED, job_id=claim.job_id, ticket_id=claim.ticket_id, reason=reason)


async def _run_claimed(runner: Runner, claim: Claim, span: trace.Span) -> None:
    started = time.monotonic()
    say(phrases.TASK_STARTED, job_id=claim.job_id, ticket_id=claim.ticket_id)
    wants_note = False
    try:
        async with hold_lease(runner.lease_database, claim, runner.lease_seconds):
            try:
                note_id = await _run_graph(runner, claim)
                await settle(partial(claims.complete, runner.database, claim, note_id))
                span.set_attribute("outcome", "completed")
                _count(claim, "completed")
                say(phrases.TASK_COMPLETED, job_id=claim.job_id, seconds=round(time.monotonic() - started))
            except TicketGone as gone:
                say(gone.phrase, gone.values)
                await _skip(runner, claim, gone.reason)
            except (AlreadyEnhanced, Echo, Forgotten) as done:
                await _skip(runner, claim, done.reason)
            except HeldBack as held:
                wants_note = await _hold_back(runner, claim, span, held)
            except LeaseLost:
                raise
            except OutsideFailure as failure:
                say(failure.phrase, failure.values, also=failure.also)
                wants_note = await _fail(runner, claim, span, failure, failure.reason)
            except AttemptTimeout as failure:
                await _fail(runner, claim, span, failure, "attempt took too long")
            except DATABASE_FAILURES as failure:
                say(phrases.DATABASE_UNREACHABLE, reason="unreachable", failure=failure)
                await _fail(runner, claim, span, failure, "database unreachable")
            except Exception as failure:  # noqa: BLE001 -- every job ends: what nobody foresaw fails this attempt too
                await _fail(runner, claim, span, failure, "unexpected failure", shown=failure)
        if wants_note:
            # The row has its outcome, so there is no claim to hold any more.
            await leave_failure_note(claim, partial(_attempt, runner, claim))
    except LeaseLost as lost:
        if await _was_forgotten(runner, claim):
            span.set_attribute("outcome", Forgotten.reason)
            _tell_skipped(claim, Forgotten.reason)
            return
        tracing.record_failure(span, lost, "claim lost")
        metrics.ATTEMPTS.labels(claim.tenant_id, "claim lost").inc()
        reason = "claim lost; left to another attempt"
        say(phrases.TASK_FAILED, job_id=claim.job_id, ticket_id=claim.ticket_id, reason=reason)
    except asyncio.CancelledError:
        span.set_attribute("outcome", "given back")
        metrics.ATTEMPTS.labels(claim.tenant_id, "given back").inc()
        await _give_back(runner, claim)
        raise


def _count(claim: Claim, outcome: str, reason: str = "") -> None:
    """The attempt has ended the job, and the row says so."""
    metrics.ATTEMPTS.labels(claim.tenant_id, outcome).inc()
    metrics.job_ended(claim.tenant_id, claim.job_id, outcome, reason)


def _attempt(runner: Runner, claim: Claim) -> Attempt:
    """Return what the steps work with. Raises DeskUnavailable when the tenant has no desk."""
    return Attempt(
        claim=claim,
        desk=runner.desk_of(claim.tenant_id),
        model=runner.model,
        search=runner.search,
        answers=runner.answers,
        database=runner.database,
        context_seconds=runner.context_seconds,
        note_settle_seconds=runner.note_settle_seconds,
        lease_seconds=runner.lease_seconds,
        capture_messages=runner.capture_messages,
    )


async def _run_graph(runner: Runner, claim: Claim) -> str:
    """Run the graph within the attempt's time, and return the note's id.

    Raises AlreadyEnhanced or Echo, before anything is called, for a ticket that another job's note is in; TicketGone,
    when the copy of a ticket that was deleted is gone too.
    """
    if claim.enhanced and claim.note_attempted_at is None:
        raise AlreadyEnhanced
    if claim.echo and claim.note_attempted_at is None:
        raise Echo
    attempt = _attempt(runner, claim)
    say(phrases.WORKFLOW_INITIATED)
    limit = asyncio.timeout(max(0.0, min(runner.attempt_seconds, claim.seconds_left())))
    try:
        async with limit:
            try:
                state = await runner.graph.ainvoke({}, context=attempt)
            except TicketGone as gone:
                if gone.deleted:
                    await insist(partial(history.remove_ticket, runner.database, claim.tenant_id, claim.ticket_id))
                raise
    except TimeoutError as failure:
        if limit.expired():
            raise AttemptTimeout from failure
        raise
    return str(state["note_id"])


async def _skip(runner: Runner, claim: Claim, reason: str) -> None:
    if reason == FORGOTTEN:
        # An attempt before this one may have left its answer.
        await runner.answers.drop(claim.job_id)
    await settle(partial(claims.skip, runner.database, claim, reason))
    _tell_skipped(claim, reason)


def _tell_skipped(claim: Claim, reason: str) -> None:
    _count(claim, "skipped", reason)
    say(phrases.TASK_SKIPPED, job_id=claim.job_id, ticket_id=claim.ticket_id, reason=reason)


async def _was_forgotten(runner: Runner, claim: Claim) -> bool:
    """Whether the claim was lost because a person had the ticket forgotten; what this attempt kept of it then goes."""
    try:
        forgotten = await was_forgotten(runner.lease_database, claim)
    except DATABASE_FAILURES:
        return False
    if forgotten:
        await runner.answers.drop(claim.job_id)
    return forgotten


async def _hold_back(runner: Runner, claim: Claim, span: trace.Span, held: HeldBack) -> bool:
    """Wait in the row, where a wait holds no worker and no message, and costs no attempt.

    A job that has no time for it fails instead; whether GPT-4 is the reason.
    """
    if not held.extends_deadline and claim.seconds_left() <= held.seconds:
        tracing.record_failure(span, held, f"{held.reason}; gave up at its deadline")
        failed = await _end(runner, claim, held.reason, "gave up at its deadline")
        return failed and held.reason == MODEL_UNAVAILABLE
    span.set_attributes({"outcome": str(held), "held_back_seconds": held.seconds})
    hold_back = partial(claims.hold_back, extends_deadline=held.extends_deadline)
    await settle(partial(hold_back, runner.database, claim, held.seconds, held.reason))
    metrics.ATTEMPTS.labels(claim.tenant_id, "held back").inc()
    reason = f"{held.reason}, held back for {held.seconds:.0f}s"
    say(phrases.JOB_REQUEUED, job_id=claim.job_id, ticket_id=claim.ticket_id, reason=reason)
    return False


async def _fail(
    runner: Runner,
    claim: Claim,
    span: trace.Span,
    failure: Exception,
    reason: str,
    shown: Exception | None = None,
) -> bool:
    """Record a failed attempt: with another one to come, or as the job's end; whether it is, and GPT-4 the reason."""
    tracing.record_failure(span, failure, reason)
    decision = retry.decide(failure, claim.attempt, claim.seconds_left(), runner.note_settle_seconds)
    if decision.seconds is None:
        return await _end(runner, claim, reason, decision.words, shown) and isinstance(failure, FAILURES_OF_GPT4)
    await settle(partial(claims.retry_later, runner.database, claim, decision.seconds, reason))
    metrics.ATTEMPTS.labels(claim.tenant_id, "retried").inc()
    _say_failed(claim, f"{reason}; {decision.words}", shown)
    return False


async def _end(runner: Runner, claim: Claim, reason: str, words: str, shown: Exception | None = None) -> bool:
    """The job fails for good, but for one whose note may be there: that is looked for once more. Whether it failed."""
    may_be_there = partial(claims.may_have_posted, runner.database, claim)
    failed = claim.attempt > MOST_ATTEMPTS or not await insist(may_be_there)
    if failed:
        await runner.answers.drop_look(claim.job_id)
        await settle(partial(claims.fail, runner.database, claim, reason))
        _count(claim, "failed", reason)
    else:
        seconds = runner.note_settle_seconds
        words = f"will be looked for once more in {seconds:.0f}s"
        look = partial(claims.look_once_more, attempts=MOST_ATTEMPTS, seconds=seconds, reason=reason)
        await settle(partial(look, runner.database, claim))
        metrics.ATTEMPTS.labels(claim.tenant_id, "retried").inc()
    _say_failed(claim, f"{reason}; {words}", shown)
    return failed


def _say_failed(claim: Claim, reason: str, shown: Exception | None = None) -> None:
    say(phrases.TASK_FAILED, job_id=claim.job_id, ticket_id=claim.ticket_id, reason=reason, failure=shown)


async def _give_back(runner: Runner, claim: Claim) -> None:
    """Undo the claim before the message goes back, or the next worker would find the job taken and drop it."""
    try:
        async with asyncio.timeout(5):
            await claims.give_back(runner.lease_database, claim)
    except (LeaseLost, *DATABASE_FAILURES, TimeoutError):
        return  # its lease runs out, and the relay queues it again
    say(phrases.JOB_REQUEUED, job_id=claim.job_id, ticket_id=claim.ticket_id, reason="worker stopping")
