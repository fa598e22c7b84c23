"""Whether workers are at work, as the rows tell it."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import text

from storage.session import Database

_SIGNS = text("SELECT * FROM signs_of_work(:lately)")
_LATELY = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class WorkSigns:
    """How many workers hold a job, how many jobs run, and how many of these nobody holds any more.

    `last_started_at`: of the jobs that run, or ended in the last ten minutes, when one was begun last.
    """

    workers: int
    running: int
    silent: int
    last_started_at: datetime | None


async def signs_of_work(database: Database) -> WorkSigns:
    """Ask for the signs as they are now. Raises one of DATABASE_FAILURES."""
    (row,) = await database.call(_SIGNS, lately=_LATELY)
    return WorkSigns(**row)
