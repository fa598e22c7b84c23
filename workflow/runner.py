"""One attempt at a job: the claim, the run of the graph, and the outcome."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from functools import cache, partial

from opentelemetry import trace
from opentelemetry.trace import SpanKind
from opentelemetry.util.types import AttributeValue

from config.tenants import Tenant
from db.session import DATABASE_FAILURES, Database
from integrations.errors import MODEL_UNAVAILABLE, TicketGoneError
from integrations.values import UNPAID
from jobs.claims import Claim, LeaseLostError, add_usage, was_forgotten
from jobs.fair_claim import FairShares, claim_next
from jobs.outcomes import Outcome, OutcomeKind, record, report
from jobs.repository import ANOTHER_FIRST, ANOTHER_FIRST_WAIT
from knowledge import repository
from observability import log_events, metrics, tracing
from observability.identifiers import bound, other_ticket_ids
from observability.logging import log_event
from privacy.tombstones import FORGOTTEN
from workflow.exclusions import refresh_reason
from workflow.failure_note import FAILURES_OF_GPT4, leave_failure_note
from workflow.graph import JobGraph
from workflow.lease import Leases, commit_shielded, hold_lease, retry_until_available
from workflow.ports import Desk, Model
from workflow.retry import outcome_of
from workflow.state import Attempt, AttemptLimit, Services

# Time to release a claim when the worker stops; all claims are released concurrently. Pending writes before it take up
# to 3 s, closing after it 5 s: together less than the 20 s until the process is killed (`worker.runtime`).
_RELEASE_SECONDS = 10.0
_USAGE_SECONDS = 1.0  # one of these 3 s


@dataclass(slots=True, kw_only=True)
class Runner(Services):
    """The dependencies of attempts; made once for each process."""

    owner: str
    lease_database: Database
    """A separate pool for claims: no renewal may wait behind searches."""
    leases: Leases
    desk_of: Callable[[str], Desk]
    tenant_of: Callable[[str], Tenant]
    model_of: Callable[[str], Model]
    graph: JobGraph
    attempt_seconds: float
    fair_shares: FairShares


async def run_next(runner: Runner) -> Outcome | None:
    """Run and report an attempt at the next due job; return None if no job is due.

    On cancellation (the worker stops), the claim is released first. Raises NoStartableJobError, or one of
    DATABASE_FAILURES if no job could be claimed.
    """
    with tracing.untraced():
        shares = runner.fair_shares.shares()
        claim = await claim_next(runner.lease_database, runner.owner, runner.leases.lease_seconds, shares)
    if claim is None:
        return None
    with runner.fair_shares.slot(claim.tenant_id):
        return await run_attempt(runner, claim)


async def run_attempt(runner: Runner, claim: Claim) -> Outcome:
    parent, job_id = tracing.context_of(claim.traceparent), str(claim.job_id)
    ids = {"ticket_id": claim.ticket_id, "tenant_id": claim.tenant_id, "job_id": job_id}
    attributes: dict[str, AttributeValue] = {
        "messaging.system": "celery",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "celery",
        "messaging.message.id": job_id,
        "attempt": claim.attempt,
    }
    other_ids = other_ticket_ids(claim.ticket_id, claim.desk_id, claim.display_id)
    with bound(**ids, **other_ids, attempt=str(claim.attempt)):
        if not claim.another_first:
            tracing.queue_span(parent, claim.waiting_since, claim.claimed_at)
        with tracing.span(tracing.WORKER, kind=SpanKind.CONSUMER, parent=parent, attributes=attributes) as span:
            if claim.another_first:
                # `claim_next_job` has already deferred the job in its row.
                wait = Outcome(OutcomeKind.DEFERRED, ANOTHER_FIRST, seconds=ANOTHER_FIRST_WAIT.total_seconds())
                report(claim, wait, span)
                return wait
            metrics.WAIT_SECONDS.observe(max(0.0, (claim.claimed_at - claim.waiting_since).total_seconds()))
            metrics.expect_outcomes(claim.tenant_id)
            with metrics.IN_FLIGHT.track_inprogress():
                return await _run_claimed(runner, claim, span)


async def _run_claimed(runner: Runner, claim: Claim, span: trace.Span) -> Outcome:
    log_event(log_events.TASK_STARTED, job_id=claim.job_id, ticket_id=claim.ticket_id)
    outcome: Outcome | None = None
    pending: list[Outcome] = []
    # Cached: a failure note needs the ticket data that the attempt's steps have read.
    prepare = cache(partial(_make_attempt, runner, claim))
    try:
        async with hold_lease(runner.leases, claim):
            outcome = await _run_and_record(runner, claim, prepare, pending)
            # Reported right after the write, because the outcome is final even if this process is stopped.
            report(claim, outcome, span)
    except LeaseLostError as lost:
        if outcome is None:
            outcome = await _outcome_without_claim(runner, claim, lost)
            report(claim, outcome, span)
    except asyncio.CancelledError:
        if outcome is None:
            report(claim, await _release(runner, claim, pending), span)
        raise
    gpt4_failed = isinstance(outcome.failure, FAILURES_OF_GPT4) or outcome.reason == MODEL_UNAVAILABLE
    if gpt4_failed and outcome.kind is OutcomeKind.FAILED:
        # Outside the lease: the outcome in the row has ended the claim.
        await leave_failure_note(claim, prepare)
    return outcome


async def _run_and_record(
    runner: Runner, claim: Claim, prepare: Callable[[], Attempt], pending: list[Outcome]
) -> Outcome:
    started = time.monotonic()

    async def write(outcome: Outcome) -> None:
        pending[:] = [outcome]
        await commit_shielded(partial(record, runner.database, claim, outcome))

    try:
        note_id = await _run_graph(runner, claim, prepare)
        outcome = Outcome(OutcomeKind.COMPLETED, note_id=note_id, seconds=time.monotonic() - started)
        await write(outcome)
        # Includes the write, which a database outage delays.
        outcome = replace(outcome, seconds=time.monotonic() - started)
    except LeaseLostError:
        raise
    except Exception as stopped:  # noqa: BLE001 -- every job ends: unexpected errors fail this attempt too
        outcome = await outcome_of(runner, claim, stopped)
        await write(outcome)
    return outcome


async def _outcome_without_claim(runner: Runner, claim: Claim, lost: Exception) -> Outcome:
    try:
        forgotten = await was_forgotten(runner.lease_database, claim)
    except DATABASE_FAILURES:
        forgotten = False
    if forgotten:
        await runner.answers.drop(claim.job_id)
        return Outcome(OutcomeKind.SKIPPED, FORGOTTEN)
    return _lease_lost(lost)


def _lease_lost(failure: Exception) -> Outcome:
    return Outcome(OutcomeKind.LEASE_LOST, "claim lost", "left to another attempt", failure=failure)


async def _release(runner: Runner, claim: Claim, pending: list[Outcome]) -> Outcome:
    """Release the claim, so that another worker can claim the job at once.

    An outcome whose write was in progress when the worker was stopped may be in the row, and is then final. A claim
    that can't be released within 10 s, for example because of a row lock, expires, and the relay requeues the job.
    """
    try:
        async with asyncio.timeout(_RELEASE_SECONDS):
            try:
                await retry_until_available(runner.leases.release, claim)
            except LeaseLostError:
                if not pending:
                    raise
                await record(runner.lease_database, claim, pending[0])  # repeatable: succeeds if the row has it
                return pending[0]
    except LeaseLostError as lost:
        return await _outcome_without_claim(runner, claim, lost)
    except (*DATABASE_FAILURES, TimeoutError) as failure:
        return _lease_lost(failure)
    return Outcome(OutcomeKind.RELEASED, "worker stopping")


def _make_attempt(runner: Runner, claim: Claim) -> Attempt:
    return Attempt(
        **{shared.name: getattr(runner, shared.name) for shared in fields(Services)},
        claim=claim,
        desk=runner.desk_of(claim.tenant_id),
        tenant_settings=partial(runner.tenant_of, claim.tenant_id),
        model=runner.model_of(claim.tenant_id),
        limit=AttemptLimit(runner.attempt_seconds, claim.seconds_left()),
        lease_seconds=runner.leases.lease_seconds,
    )


async def _run_graph(runner: Runner, claim: Claim, prepare: Callable[[], Attempt]) -> str:
    """Run the graph within the attempt's time, and return the note's id.

    Raises the errors of `refresh_reason` before any call, and TicketGoneError after the copy of a deleted ticket is
    erased.
    """
    reason = ""
    if claim.note_attempted_at is None:
        reason = await refresh_reason(runner.database, claim, partial(runner.tenant_of, claim.tenant_id))
    attempt = prepare()
    attempt.refresh = reason
    log_event(log_events.WORKFLOW_INITIATED)
    try:
        async with attempt.limit.running():
            try:
                state = await runner.graph.ainvoke({}, context=attempt)
            except TicketGoneError as gone:
                if gone.deleted:
                    await retry_until_available(
                        repository.remove_ticket, runner.database, claim.tenant_id, attempt.claim.id_in_desk
                    )
                raise
    except BaseException:  # also if the worker stops
        if attempt.unrecorded != UNPAID:
            with suppress(*DATABASE_FAILURES, TimeoutError):
                async with asyncio.timeout(_USAGE_SECONDS):
                    await add_usage(runner.database, claim, attempt.unrecorded)
        raise
    return str(state["note_id"])
