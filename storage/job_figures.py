"""Counts and ages across tenants, for metrics."""

from dataclasses import dataclass

from sqlalchemy import text

from storage.session import Database


@dataclass(frozen=True, slots=True)
class JobFigures:
    """Jobs that have not ended. `without_outcome`: a minute past their deadline, which should not be."""

    waiting: int
    running: int
    oldest_waiting_seconds: float
    without_outcome: int


async def job_figures(database: Database) -> JobFigures:
    """The figures now. Raises one of DATABASE_FAILURES."""
    async with database.across_tenants() as session:
        row = (await session.execute(text("SELECT * FROM job_figures()"))).one()
    return JobFigures(row.waiting, row.running, row.oldest_waiting_seconds, row.without_outcome)
