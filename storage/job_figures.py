"""Counts and ages across tenants, for metrics."""

from dataclasses import dataclass

from sqlalchemy import text

from storage.limits import OVERDUE
from storage.session import Database

_FIGURES = text("SELECT * FROM job_figures(:overdue)")


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
