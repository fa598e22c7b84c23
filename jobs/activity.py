"""Activity of the jobs: a page of the list, and sums for charts."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text

from db.session import Database
from jobs.models import JobState
from jobs.repository import MAX_LIFE

_MAX_REASONS = 1_000
_MAX_SAMPLE = 1_000
_PARTS = 3  # read at the same time: a month of a million jobs takes 0.25 s in one part
_PAGE = text(
    "SELECT now() AS read_at, id, tenant_id, ticket_id, state, reason, accepted_at, due_at,"
    " finished_at, model, input_tokens, output_tokens, dollars FROM page_of_jobs("
    ":tenant, :states, :is_due, :reasons, :ticket, :since, :until, :before, :before_id, :most)"
)
_REASONS = text("SELECT reason FROM reasons_of_jobs(:tenant, :most)")
_SUMS = text("SELECT * FROM sums_of_jobs(:tenant, :since, :step, :bars, :part, :parts)")
_SPEEDS = text("SELECT * FROM speeds_of_jobs(:tenant, :since, :step, :bars, :most, :longest)")
# A ticket that is not copied has its subject in the answer; both are purged by age.
_SUBJECTS = text("""
    SELECT j.id, coalesce(nullif(j.enhancement ->> 'subject', ''), t.subject) AS subject FROM jobs j
    LEFT JOIN tickets t ON t.tenant_id = j.tenant_id AND t.ticket_id = coalesce(j.desk_id, j.ticket_id)
    WHERE j.id = ANY (CAST(:ids AS uuid[]))
""")


class PageEnd(NamedTuple):
    """The last job of a page; the next page begins after it."""

    at: datetime
    id: UUID


class JobFilter(NamedTuple):
    """Filter of a list; None matches all. `is_due` filters waiting jobs by their due time."""

    tenant_id: str | None = None
    states: Sequence[JobState] = tuple(JobState)
    is_due: bool | None = None
    reasons: Sequence[str] | None = None
    ticket_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class ActivityJob(NamedTuple):
    """A job in the list. `dollars`: of its calls with a known cost, None without any."""

    read_at: datetime
    id: UUID
    tenant_id: str
    ticket_id: str
    state: str
    reason: str | None
    accepted_at: datetime
    due_at: datetime
    finished_at: datetime | None
    model: str | None
    input_tokens: int
    output_tokens: int
    dollars: float | None

    @property
    def seconds(self) -> float:
        """Seconds from the webhook to the end, or until now."""
        return ((self.finished_at or self.read_at) - self.accepted_at).total_seconds()


class BarSum(NamedTuple):
    """Jobs accepted in one bar, of one state and model; `open`: not ended at its end."""

    bar: int
    state: str
    model: str | None
    is_priced: bool
    jobs: int
    open: int
    input_tokens: int
    output_tokens: int
    dollars: float | None


class BarSpeed(NamedTuple):
    """Seconds to a note in one bar (50 and 95 % of notes), and jobs left open from earlier bars."""

    bar: int
    half_seconds: float | None
    most_seconds: float | None
    carried: int


async def page_of_jobs(
    database: Database, chosen: JobFilter, *, after: PageEnd | None = None, most: int
) -> list[ActivityJob]:
    """Return matching jobs, newest first."""
    before, before_id = after or (None, None)
    rows = await database.call(
        _PAGE,
        tenant=chosen.tenant_id,
        states=[state.value for state in chosen.states],
        is_due=chosen.is_due,
        reasons=None if chosen.reasons is None else list(chosen.reasons),
        ticket=chosen.ticket_id,
        since=chosen.since,
        until=chosen.until,
        before=before,
        before_id=before_id,
        most=most,
    )
    return [ActivityJob(**row) for row in rows]


async def reasons_of_jobs(database: Database, tenant_id: str | None) -> list[str]:
    """Return the distinct reasons of all jobs."""
    return [row["reason"] for row in await database.call(_REASONS, tenant=tenant_id, most=_MAX_REASONS)]


async def subjects(database: Database, jobs: Sequence[ActivityJob]) -> dict[UUID, str]:
    """Return the known subjects by job id. They are ticket text."""
    by_tenant: dict[str, list[UUID]] = {}
    for job in jobs:
        by_tenant.setdefault(job.tenant_id, []).append(job.id)
    found: dict[UUID, str] = {}
    for tenant_id, ids in by_tenant.items():
        (rows,) = await database.call_as(tenant_id, _SUBJECTS, ids=ids)
        found |= {row["id"]: row["subject"] for row in rows if row["subject"]}
    return found


async def sums_of_jobs(
    database: Database, tenant_id: str | None, since: datetime, step: timedelta, bars: int
) -> list[BarSum]:
    """Return the sums of each bar."""
    values = {"tenant": tenant_id, "since": since, "step": step, "bars": bars, "parts": _PARTS}
    parts = await asyncio.gather(*(database.call(_SUMS, **values, part=part) for part in range(_PARTS)))
    return [BarSum(**row) for rows in parts for row in rows]


async def speeds_of_jobs(
    database: Database, tenant_id: str | None, since: datetime, step: timedelta, bars: int
) -> list[BarSpeed]:
    """Return the speed of each bar, of its newest 1,000 notes."""
    values = {"since": since, "step": step, "bars": bars, "most": _MAX_SAMPLE, "longest": MAX_LIFE}
    return [BarSpeed(**row) for row in await database.call(_SPEEDS, tenant=tenant_id, **values)]
