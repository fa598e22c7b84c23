"""Counts and ages across tenants, for metrics and pages."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from storage.limits import OVERDUE
from storage.session import Database

_FIGURES = text("SELECT * FROM job_figures(:overdue)")
_HELD_BACK = text("SELECT * FROM jobs_held_back()")
_OPEN = text("SELECT * FROM open_jobs(:most)")
_DUE = text("SELECT * FROM due_jobs_of_all(:most)")
_REASONS = text("SELECT * FROM reasons_of_waiting(:most, :pairs)")
# As `jobs_held_back`, limited to the tenant's first waiting jobs.
_HELD_BACK_OF = text("""
    SELECT w.reason, count(*) AS jobs, max(last.at) AS last_at FROM (
        SELECT j.id, j.reason FROM jobs j WHERE j.tenant_id = :tenant AND j.state = 'waiting' AND j.reason IS NOT NULL
        LIMIT :most) w
    CROSS JOIN LATERAL (
        SELECT e.what, e.at FROM job_events e WHERE e.job_id = w.id ORDER BY e.id DESC LIMIT 1) last
    WHERE last.what = 'held back' GROUP BY w.reason
""")
MOST_COUNTED = 10_000
"""Beyond so many jobs of a kind a page does not count on."""
MOST_A_REASON = 1_000
"""Nor beyond so many of a tenant that wait for one reason."""
_MOST_PAIRS = 2_000


@dataclass(frozen=True, slots=True)
class JobFigures:
    """Unfinished jobs. `without_outcome`: over a minute past their deadline; should be 0."""

    waiting: int
    running: int
    oldest_waiting_seconds: float
    without_outcome: int


async def job_figures(database: Database) -> JobFigures:
    """Return the current figures. Raises one of DATABASE_FAILURES."""
    (row,) = await database.call(_FIGURES, overdue=OVERDUE)
    return JobFigures(**row)


async def jobs_held_back(database: Database) -> dict[tuple[str, str], int]:
    """Return how many jobs wait now because they were held back, by tenant and reason. Raises one of DATABASE_FAILURES.

    What has none is left out.
    """
    rows = await database.call(_HELD_BACK)
    return {(row["tenant_id"], row["reason"]): row["jobs"] for row in rows}


@dataclass(frozen=True, slots=True)
class HeldJobs:
    """Jobs of a tenant that wait for one reason. `last_at`: when one of them was held back last."""

    jobs: int
    last_at: datetime


async def held_back_of(database: Database, tenant_id: str) -> dict[str, HeldJobs]:
    """Return the same of one tenant, by reason, under row-level security: of `MOST_COUNTED` jobs that wait again."""
    (rows,) = await database.call_as(tenant_id, _HELD_BACK_OF, most=MOST_COUNTED)
    return {row["reason"]: HeldJobs(row["jobs"], row["last_at"]) for row in rows}


@dataclass(frozen=True, slots=True)
class OpenJobs:
    """Jobs that are due and wait, and those that wait for a later time: `MOST_COUNTED` of each kind, or about that."""

    waiting: int
    later: int
    oldest_waiting_seconds: float


async def open_jobs(database: Database) -> OpenJobs:
    """Return the open jobs for a page, counted up to a limit. Raises one of DATABASE_FAILURES."""
    (row,) = await database.call(_OPEN, most=MOST_COUNTED)
    return OpenJobs(**row)


async def due_jobs(database: Database) -> dict[str, int]:
    """Return how many jobs are due and wait, by tenant, of the `MOST_COUNTED` due longest. Raises as `open_jobs`."""
    return {row["tenant_id"]: row["jobs"] for row in await database.call(_DUE, most=MOST_COUNTED)}


async def reasons_of_waiting(database: Database) -> dict[tuple[str, str], int]:
    """Return how many jobs wait again by tenant and reason, `MOST_A_REASON` at most of each: held back, or tried again.

    Raises one of DATABASE_FAILURES.
    """
    rows = await database.call(_REASONS, most=MOST_A_REASON, pairs=_MOST_PAIRS)
    return {(row["tenant_id"], row["reason"]): row["jobs"] for row in rows}
