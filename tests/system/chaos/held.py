"""Jobs held by a process when it is killed or suspended, and their stored state."""

import os
import time
from dataclasses import dataclass

import redis

from devstack.processes import Process, descendants
from tests.kit.world import World

# Statements that a process sent to Postgres or Redis before its end are executed after it. No lease is that short, so
# no other worker has the jobs yet.
_LANDING_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Held:
    """A job that ran in the process."""

    job_id: str
    claimed: float
    """Unix seconds, when this attempt began."""
    answered: bool
    """True if GPT-4's answer is in the row, or kept in Redis: no reason whatever to ask again."""
    posting: bool
    """True if its note may be in the ticket."""


@dataclass(frozen=True, slots=True)
class Excuse:
    """A job without a stored answer when its process stopped.

    This attempt's call may be repeated once.
    """

    job_id: str
    claimed: float
    moment: float
    """Unix seconds, when the process did nothing any more."""
    not_before: float = 0.0
    """Unix seconds: an answer that was complete by then had reached the process, and has no excuse."""

    def covers(self, began: float, ended: float) -> bool:
        return self.claimed <= began <= self.moment and ended >= self.not_before


def ids_of(process: Process) -> list[int]:
    """Return the ids of the process and its descendants.

    Call it before the process dies.
    """
    return [process.pid, *descendants(process.pid)]


def jobs_held_by(ids: list[int], world: World, redis_url: str) -> list[Held]:
    """Return the jobs of a process that has just stopped, from rows and Redis."""
    time.sleep(_LANDING_SECONDS)
    owners = [f"{os.uname().nodename}:{number}" for number in ids]
    with world.admin() as connection:
        rows = connection.execute(
            "SELECT id::text, extract(epoch FROM started_at)::float, enhancement IS NOT NULL,"
            " note_attempted_at IS NOT NULL FROM jobs"
            " WHERE state = 'running' AND lease_owner = ANY(%s)",
            (owners,),
        ).fetchall()
    with redis.Redis.from_url(redis_url) as client:
        return [
            Held(job_id, claimed, in_row or bool(client.exists(f"answer:{job_id}")), posting)
            for job_id, claimed, in_row, posting in rows
        ]
