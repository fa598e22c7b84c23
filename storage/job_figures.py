"""Counts and ages across tenants, for metrics."""

from dataclasses import dataclass

from sqlalchemy import text

from storage.limits import OVERDUE
from storage.session import Database

_FIGURES = text("SELECT * FROM job_figures(:overdue)")
_HELD_BACK = text("SELECT * FROM jobs_held_back()")


@dataclass(frozen=True, slots=True)
class JobFigures:
    """Jobs that have not ended. `without_outcome`: a minute past their deadline, which should not be."""

    waiting: int
    running: int
    oldest_waiting_seconds: float
    without_outcome: int


async def job_figures(database: Database) -> JobFigures:
    """The figures now. Raises one of DATABASE_FAILURES."""
    (row,) = await database.call(_FIGURES, overdue=OVERDUE)
    return JobFigures(**row)


async def jobs_held_back(database: Database) -> dict[tuple[str, str], int]:
    """Return how many jobs wait now because they were held back, by tenant and reason. Raises one of DATABASE_FAILURES.

    What has none is left out.
    """
    rows = await database.call(_HELD_BACK)
    return {(row["tenant_id"], row["reason"]): row["jobs"] for row in rows}
