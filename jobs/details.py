"""Operators' queries of jobs.

Queries across tenants (`list_jobs`) return no text of a desk or model: ids, states, times and this system's reasons.
Details and answers are under row-level security.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, func, or_, select, text
from sqlalchemy.orm import aliased

from db.session import Database, among
from jobs.models import Job, JobEvent, JobState
from jobs.repository import DRY_RUN, Event

_Other = aliased(Job)
_NUMBERS = (Job.ticket_id, Job.desk_id)
# Correlated to a job: id of the latest other dry run of its ticket that has an answer, or null.
_OTHER_OF_TICKET = (
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


async def other_of_ticket(database: Database, tenant_id: str, job_id: UUID) -> UUID | None:
    """Return the id of the latest other dry run of the job's ticket with an answer."""
    async with database.tenant(tenant_id) as session:
        return await session.scalar(select(_OTHER_OF_TICKET).where(Job.id == job_id))


async def answer_of(database: Database, tenant_id: str, job_id: UUID) -> dict[str, Any] | None:
    """Return GPT-4's stored answer; None before it arrives and after its purge."""
    async with database.tenant(tenant_id) as session:
        return await session.scalar(select(Job.enhancement).where(Job.id == job_id))


_TENANT = text("SELECT tenant_id FROM job_state(:id)")
_IS_OF = text("SELECT 1 AS one FROM jobs j WHERE j.tenant_id = :tenant AND j.id = :id")
_LIST = text("SELECT now() AS read_at, l.* FROM list_jobs(:tenant, :ticket, :states, :since, :most) l")
_OWNERS = text("SELECT DISTINCT l.tenant_id FROM list_jobs(NULL, :ticket, NULL, NULL, NULL) l ORDER BY 1")


@dataclass(frozen=True, slots=True)
class Listed:
    """One job in a list."""

    read_at: datetime  # the database's time of the query: compare the other times with this one
    id: UUID
    tenant_id: str
    ticket_id: str
    state: str
    attempt: int
    reason: str | None
    accepted_at: datetime
    due_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class Details:
    """One job's row, without the answer's text."""

    read_at: datetime
    id: UUID
    tenant_id: str
    ticket_id: str
    desk_id: str | None
    display_id: str | None
    event: str | None
    state: str
    attempt: int
    reason: str | None
    traceparent: str | None
    accepted_at: datetime
    due_at: datetime
    deadline_at: datetime
    published_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    lease_owner: str | None
    lease_until: datetime | None
    answered: bool
    model: str | None
    is_unchecked: bool  # whether the claims of its answer were not checked
    note_attempted_at: datetime | None
    note_id: str | None
    refresh: str | None  # the reason of a further note; None for a first one
    dry_run_job: UUID | None


@dataclass(frozen=True, slots=True)
class Happened:
    """One event of a job."""

    at: datetime
    attempt: int
    what: str
    reason: str | None


class Retried(NamedTuple):
    """A job that waits again after a manual retry; `was`: its earlier final state."""

    job_id: UUID
    tenant_id: str
    ticket_id: str
    traceparent: str | None
    was: str
    desk_id: str | None = None
    display_id: str | None = None


async def listed(
    database: Database,
    *,
    tenant_id: str | None = None,
    ticket_id: str | None = None,
    states: Sequence[str] | None = None,
    since: datetime | None = None,
    most: int | None = None,
) -> list[Listed]:
    """Return jobs that meet all given conditions, newest first."""
    conditions = {"tenant": tenant_id, "ticket": ticket_id, "since": since, "most": most}
    rows = await database.call(_LIST, **conditions, states=None if states is None else list(states))
    return [Listed(**row) for row in rows]


async def owners(database: Database, ticket_id: str) -> list[str]:
    """Return the tenants that have a job of the ticket, sorted."""
    return [row["tenant_id"] for row in await database.call(_OWNERS, ticket=ticket_id)]


async def details(database: Database, job_id: UUID) -> Details | None:
    """Return the job's row, of any tenant; None if there is none."""
    tenant_id = await tenant_of(database, job_id)
    if tenant_id is None:
        return None
    columns: dict[str, ColumnElement[Any]] = {
        **Job.__table__.c,
        "read_at": func.now(),
        "answered": Job.enhancement.is_not(None),
        "dry_run_job": _OTHER_OF_TICKET,
    }
    async with database.tenant(tenant_id) as session:
        query = select(*(columns[name].label(name) for name in Details.__dataclass_fields__)).where(Job.id == job_id)
        row = (await session.execute(query)).mappings().one_or_none()
    return None if row is None else Details(**row)


async def is_of(database: Database, tenant_id: str, job_id: UUID) -> bool:
    """Return True if the job is the tenant's, without revealing other tenants' jobs."""
    (rows,) = await database.call_as(tenant_id, _IS_OF, id=job_id)
    return bool(rows)


async def events(database: Database, job: Details) -> list[Happened]:
    """Return the job's events, oldest first."""
    columns = [JobEvent.__table__.c[name] for name in Happened.__dataclass_fields__]
    async with database.tenant(job.tenant_id) as session:
        rows = await session.execute(select(*columns).where(JobEvent.job_id == job.id).order_by(JobEvent.id))
    return [Happened(*row) for row in rows]


def remark_of(events: Sequence[Happened]) -> str | None:
    """Return the remark of the first event, such as SIGNED_BY_PREVIOUS."""
    return next((event.reason for event in events if event.what == "accepted"), None)


async def tenant_of(database: Database, job_id: UUID) -> str | None:
    """Return the job's tenant; None if there is no such job."""
    tenant_id: str | None = await database.call_for_one(_TENANT, id=job_id)
    return tenant_id


async def numbers_of_jobs(database: Database, tenant_id: str, job_ids: Sequence[UUID]) -> dict[UUID, list[str]]:
    """Return the known ticket numbers of each existing job, by its id."""
    query = select(Job.id, Job.ticket_id, Job.desk_id, Job.display_id).where(among(Job.id, job_ids))
    async with database.tenant(tenant_id) as session:
        return {job_id: [*filter(None, numbers)] for job_id, *numbers in await session.execute(query)}


def trace_id(job: Details | Event) -> str | None:
    """Return the 32 hex digits of the job's trace."""
    parts = (job.traceparent or "").split("-")
    return parts[1] if len(parts) == 4 else None
