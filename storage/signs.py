"""Activity of the workers, from rows and sessions."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import text

from storage.session import Database

# Outside the function, since only the application's own role sees the sessions' names.
_SIGNS = text(
    "SELECT s.*, EXISTS (SELECT FROM pg_stat_activity a"
    " WHERE a.datname = current_database() AND a.application_name = :leases) AS connected"
    " FROM signs_of_work(:lately) s"
)
LEASES = "ai-agents leases"
"""Application name of the sessions in which workers renew their leases: each worker has one for as long as it runs."""
LATELY = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class WorkSigns:
    """Numbers of workers that hold a job, of running jobs, and of those not held.

    `last_started_at`: latest start of a job that runs or of the last ten minutes. `connected`: False if no worker has a
    session for its leases. A killed worker loses its sessions at once; a healthy one has none for up to 12 s after
    Postgres restarts.
    """

    workers: int
    running: int
    silent: int
    last_started_at: datetime | None
    connected: bool = True


async def signs_of_work(database: Database) -> WorkSigns:
    """Return the current signs. Raises one of DATABASE_FAILURES."""
    (row,) = await database.call(_SIGNS, lately=LATELY, leases=LEASES)
    return WorkSigns(**row)
