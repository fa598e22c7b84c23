"""GPT-4's answers in rows of jobs, e.g. of dry runs (docs/adr/0022)."""

from typing import Any
from uuid import UUID

from sqlalchemy import or_, select
from sqlalchemy.orm import aliased

from storage.jobs import DRY_RUN
from storage.models import Job, JobState
from storage.session import Database

_Other = aliased(Job)
_NUMBERS = (Job.ticket_id, Job.desk_id)
OTHER_OF_TICKET = (
    select(_Other.id)
    .where(
        _Other.tenant_id == Job.tenant_id,
        _Other.id != Job.id,
        or_(_Other.ticket_id.in_(_NUMBERS), _Other.desk_id.in_(_NUMBERS)),
        _Other.state == JobState.SKIPPED,
        _Other.reason == DRY_RUN,
        _Other.enhancement.is_not(None),
        # As for a note, a manual retry ignores earlier jobs (`other_jobs_of_ticket`).
        or_(Job.retried_at.is_(None), _Other.finished_at > Job.retried_at),
    )
    .order_by(_Other.finished_at.desc())
    .limit(1)
    .correlate(Job)
    .scalar_subquery()
)
"""In a question about a job: the last other job of its ticket whose dry run has left its answer; or null."""


async def other_of_ticket(database: Database, tenant_id: str, job_id: UUID) -> UUID | None:
    async with database.tenant(tenant_id) as session:
        found: UUID | None = await session.scalar(select(OTHER_OF_TICKET).where(Job.id == job_id))
    return found


async def answer_of(database: Database, tenant_id: str, job_id: UUID) -> dict[str, Any] | None:
    async with database.tenant(tenant_id) as session:
        question = select(Job.enhancement).where(Job.id == job_id, Job.state == JobState.SKIPPED, Job.reason == DRY_RUN)
        answer: dict[str, Any] | None = await session.scalar(question)
    return answer


async def answer_in_row(database: Database, tenant_id: str, job_id: UUID) -> dict[str, Any] | None:
    """Return GPT-4's answer of any job; None before it came and after its purge."""
    async with database.tenant(tenant_id) as session:
        answer: dict[str, Any] | None = await session.scalar(select(Job.enhancement).where(Job.id == job_id))
    return answer
