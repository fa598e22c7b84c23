"""Manual retries of failed and skipped jobs."""

from datetime import timedelta
from uuid import UUID

from sqlalchemy import text

from db.session import Database
from jobs import details
from jobs.details import Retried
from jobs.models import JobState
from jobs.outcomes import Outcome, OutcomeKind, report_in_new_span
from jobs.repository import DUPLICATE, RETRIED_BY_HAND
from observability.identifiers import other_ticket_ids

_RETRY = text(
    "SELECT j.*, n.* FROM retry_job_by_hand(:tenant, :id, :deadline, :reason, :duplicate) j"
    " LEFT JOIN LATERAL numbers_of_job(:tenant, :id) n ON true"
)


class NotRetriedError(Exception):
    """The job can't be retried; the text has the reason."""


async def retry(database: Database, job_id: UUID, deadline_seconds: int) -> Retried:
    """Let a failed or skipped job wait again, due now, with all its attempts.

    The job keeps its id, trace, answer and note attempt. Log the retry, in the trace too. Raises NotRetriedError.
    """
    tenant_id = await details.tenant_of(database, job_id)
    values = {"deadline": timedelta(seconds=deadline_seconds), "reason": RETRIED_BY_HAND, "duplicate": DUPLICATE}
    rows = await database.call(_RETRY, tenant=tenant_id, id=job_id, **values) if tenant_id else ()
    if tenant_id is None or not rows:
        raise NotRetriedError("no job has this id")
    (row,) = rows
    if not row["retried"]:
        raise NotRetriedError(why_not(row["state"]))
    was = f"{row['state']}: {row['reason']}" if row["reason"] else str(row["state"])
    numbers = row["desk_id"], row["display_id"]
    job = Retried(job_id, tenant_id, row["ticket_id"], row["traceparent"], was, *numbers)
    others = other_ticket_ids(job.ticket_id, *numbers)
    report_in_new_span("Retry", job, Outcome(OutcomeKind.RETRIED_BY_HAND, RETRIED_BY_HAND), **others)
    return job


def why_not(state: str) -> str:
    """Return why a job of this state can't be retried."""
    return {
        JobState.COMPLETED: "it is completed: its note is in the ticket",
        JobState.RUNNING: "it is running: a worker has it",
        JobState.WAITING: "it is waiting already",
    }.get(JobState(state), "it is a duplicate: another job does the work of its webhook")


async def is_last_of_ticket(database: Database, tenant_id: str, ticket_id: str, job_id: UUID) -> bool:
    """Return True for a ticket's newest failed job if no other is completed or open."""
    jobs = await details.listed(database, tenant_id=tenant_id, ticket_id=ticket_id)
    newest_failed = next((job.id for job in jobs if job.state == JobState.FAILED), None)
    others = {JobState.COMPLETED, JobState.WAITING, JobState.RUNNING}
    return newest_failed == job_id and others.isdisjoint(job.state for job in jobs)
