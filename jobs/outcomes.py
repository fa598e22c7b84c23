"""Outcomes of attempts and jobs, in the row, the log, the metrics and the trace."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from opentelemetry import trace

from db.session import Database
from jobs import claims
from jobs.claims import Claim
from jobs.details import Retried
from jobs.models import JobState
from jobs.repository import Event, JobIdentity
from observability import log_events, metrics, tracing
from observability.identifiers import bound, tags
from observability.log_events import Phrase
from observability.logging import log_event


class OutcomeKind(StrEnum):
    """Outcomes of attempts; below the blank line, of jobs without a worker."""

    COMPLETED = "completed"
    SKIPPED = "skipped"
    FAILED = "failed"
    RETRIED = "retried"
    FINAL_CHECK = "looked for once more"  # the note may be in the ticket: one last attempt only searches for it
    DEFERRED = "held back"
    RELEASED = "given back"
    LEASE_LOST = "claim lost"

    DUPLICATE = "duplicate"  # from the inbox: its sender got a job id of its own
    FORGOTTEN = "forgotten"
    RETRIED_BY_HAND = "retried by hand"
    RECOVERED = "recovered"  # the lease expired, and attempts are left
    WORKER_LOST = "worker lost"  # the lease expired in the last attempt
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Outcome:
    """Outcome of an attempt or job; a failure's log line has `consequence` after `reason`."""

    kind: OutcomeKind
    reason: str = ""
    consequence: str = "not retried"
    seconds: float = 0.0  # duration of a completed attempt, or time until a waiting job is due
    note_id: str = ""
    extends_deadline: bool = True  # the time of a hold is added to the job's deadline
    failure: BaseException | None = None  # recorded in the span, which gets the status `error`
    unforeseen: bool = False  # the log line contains the failure too


class _Report(NamedTuple):
    state: JobState | None  # the job's new state; None if another process changes the row
    phrase: Phrase
    attempt_result: str | None = None  # `result` of the attempt's metric; None without an attempt of this process
    line: str = "{reason}"
    span: str = "{kind}"


_FAILURE = "{reason}; {consequence}"
_HELD_BACK = "{reason}, held back for {seconds:.0f}s"
_HOLD_SPAN = "{kind}: {reason}"
_REPORTS = {
    OutcomeKind.COMPLETED: _Report(JobState.COMPLETED, log_events.TASK_COMPLETED, "completed"),
    OutcomeKind.SKIPPED: _Report(JobState.SKIPPED, log_events.TASK_SKIPPED, "skipped", span="{reason}"),
    OutcomeKind.FAILED: _Report(JobState.FAILED, log_events.TASK_FAILED, "failed", _FAILURE),
    OutcomeKind.RETRIED: _Report(JobState.WAITING, log_events.TASK_FAILED, "retried", _FAILURE),
    OutcomeKind.FINAL_CHECK: _Report(JobState.WAITING, log_events.TASK_FAILED, "retried", _FAILURE),
    OutcomeKind.DEFERRED: _Report(JobState.WAITING, log_events.JOB_REQUEUED, "held back", _HELD_BACK, _HOLD_SPAN),
    OutcomeKind.RELEASED: _Report(JobState.WAITING, log_events.JOB_REQUEUED, "given back"),
    OutcomeKind.LEASE_LOST: _Report(None, log_events.TASK_FAILED, "claim lost", _FAILURE),
    OutcomeKind.DUPLICATE: _Report(JobState.SKIPPED, log_events.TASK_SKIPPED, span="{reason}"),
    OutcomeKind.FORGOTTEN: _Report(JobState.SKIPPED, log_events.TASK_SKIPPED, span="{reason}"),
    OutcomeKind.RETRIED_BY_HAND: _Report(JobState.WAITING, log_events.JOB_REQUEUED),
    OutcomeKind.RECOVERED: _Report(JobState.WAITING, log_events.JOB_REQUEUED, span="{reason}"),
    OutcomeKind.WORKER_LOST: _Report(JobState.FAILED, log_events.TASK_FAILED, line=_FAILURE),
    OutcomeKind.EXPIRED: _Report(JobState.FAILED, log_events.TASK_FAILED, line=_FAILURE),
}


JobRef = Claim | Event | JobIdentity | Retried  # with a job's identifiers


async def record(database: Database, claim: Claim, outcome: Outcome) -> None:
    """Write an attempt's outcome into the row. Raises LeaseLostError."""
    reason, seconds = outcome.reason, outcome.seconds
    match outcome.kind:
        case OutcomeKind.COMPLETED:
            await claims.complete(database, claim, outcome.note_id)
        case OutcomeKind.SKIPPED:
            await claims.skip(database, claim, reason)
        case OutcomeKind.FAILED:
            await claims.fail(database, claim, reason)
        case OutcomeKind.RETRIED:
            await claims.retry_later(database, claim, seconds, reason)
        case OutcomeKind.FINAL_CHECK:
            await claims.schedule_final_check(database, claim, seconds, reason)
        case OutcomeKind.DEFERRED:
            await claims.defer(database, claim, seconds, reason, extends_deadline=outcome.extends_deadline)
        case _:
            raise ValueError(outcome.kind)


def report(job: JobRef, outcome: Outcome, span: trace.Span) -> None:
    """Report a recorded outcome in the log, the metrics and the span."""
    kind = outcome.kind
    template = _REPORTS[kind]
    values = {"kind": kind, "reason": outcome.reason, "consequence": outcome.consequence, "seconds": outcome.seconds}
    reason = template.line.format(**values)
    span.set_attribute("outcome", template.span.format(**values))
    span.set_attributes(dict(tags()))  # some are bound after the span's start
    if kind is OutcomeKind.DEFERRED:
        span.set_attribute("held_back_seconds", outcome.seconds)
    if outcome.failure is not None:
        tracing.record_failure(span, outcome.failure, reason)
    if template.attempt_result is not None:
        metrics.ATTEMPTS.labels(job.tenant_id, template.attempt_result).inc()
    if kind is OutcomeKind.RECOVERED:
        metrics.JOBS_RECOVERED.inc()
    if template.state is not None and template.state in metrics.OUTCOMES:
        metrics.job_ended(job.tenant_id, job.job_id, template.state.value, outcome.reason)
    log_event(
        template.phrase,
        job_id=job.job_id,
        ticket_id=job.ticket_id,
        reason=reason,
        seconds=round(outcome.seconds),
        failure=outcome.failure if outcome.unforeseen else None,
    )


def report_in_new_span(span_name: str, job: JobRef, outcome: Outcome, **identifiers: str) -> None:
    """Report the outcome of a job that this process does not run, in a new span."""
    with span_of_job(span_name, job, **identifiers) as span:
        report(job, outcome, span)


@contextmanager
def span_of_job(span_name: str, job: JobRef, **identifiers: str) -> Iterator[trace.Span]:
    """Open a span in the trace of the job's webhook, with the job's identifiers."""
    ids = {"ticket_id": job.ticket_id, "tenant_id": job.tenant_id, "job_id": str(job.job_id)}
    parent = tracing.context_of(job.traceparent)
    with bound(**ids, **identifiers), tracing.span(span_name, parent=parent) as span:
        yield span
