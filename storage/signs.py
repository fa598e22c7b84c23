"""Whether workers are at work, as the rows tell it."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import text

from storage.session import Database

# The sessions are not looked at in the function: only the application's own role sees their names.
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
    """How many workers hold a job, how many jobs run, and how many of these nobody holds any more.

    `last_started_at`: when a job was begun last, of those that run and of the last ten minutes. `connected`: False if
    no worker has a session for its leases. A killed worker loses its sessions at once. A healthy one is without them
    for up to 12 s after Postgres restarts.
    """

    workers: int
    running: int
    silent: int
    last_started_at: datetime | None
    connected: bool = True


async def signs_of_work(database: Database) -> WorkSigns:
    """Ask for the signs as they are now. Raises one of DATABASE_FAILURES."""
    (row,) = await database.call(_SIGNS, lately=LATELY, leases=LEASES)
    return WorkSigns(**row)
