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
    """Unfinished jobs. `without_outcome`: a minute past their deadline; should be 0."""

    waiting: int
    running: int
    oldest_waiting_seconds: float
    without_outcome: int


async def job_figures(database: Database) -> JobFigures:
    """Return the current figures. Raises one of DATABASE_FAILURES."""
    (row,) = await database.call(_FIGURES, overdue=OVERDUE)
    return JobFigures(**row)


async def jobs_held_back(database: Database) -> dict[tuple[str, str], int]:
    """Return the numbers of jobs held back, by tenant and reason, without zeros.

    Raises one of DATABASE_FAILURES.
    """
    rows = await database.call(_HELD_BACK)
    return {(row["tenant_id"], row["reason"]): row["jobs"] for row in rows}


@dataclass(frozen=True, slots=True)
class HeldJobs:
    """Jobs of a tenant held back for one reason; `last_at`: the latest hold."""

    jobs: int
    last_at: datetime


async def held_back_of(database: Database, tenant_id: str) -> dict[str, HeldJobs]:
    """Return one tenant's held jobs by reason, among `MOST_COUNTED` that wait again.

    Under row-level security.
    """
    (rows,) = await database.call_as(tenant_id, _HELD_BACK_OF, most=MOST_COUNTED)
    return {row["reason"]: HeldJobs(row["jobs"], row["last_at"]) for row in rows}


@dataclass(frozen=True, slots=True)
class OpenJobs:
    """Due jobs and later ones: about `MOST_COUNTED` of each at most."""

    waiting: int
    later: int
    oldest_waiting_seconds: float


async def open_jobs(database: Database) -> OpenJobs:
    """Return the open jobs for a page. Raises one of DATABASE_FAILURES."""
    (row,) = await database.call(_OPEN, most=MOST_COUNTED)
    return OpenJobs(**row)


async def due_jobs(database: Database) -> dict[str, int]:
    """Return due jobs by tenant, of the `MOST_COUNTED` longest due.

    Raises one of DATABASE_FAILURES.
    """
    return {row["tenant_id"]: row["jobs"] for row in await database.call(_DUE, most=MOST_COUNTED)}


async def reasons_of_waiting(database: Database) -> dict[tuple[str, str], int]:
    """Return the numbers of jobs waiting again, by tenant and reason.

    Held back or retried, `MOST_A_REASON` at most of each. Raises one of DATABASE_FAILURES.
    """
    rows = await database.call(_REASONS, most=MOST_A_REASON, pairs=_MOST_PAIRS)
    return {(row["tenant_id"], row["reason"]): row["jobs"] for row in rows}
