"""Figures of jobs, queue and workers, for metrics, diagnoses and console pages."""

import asyncio
import contextlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, RedisError, ResponseError
from sqlalchemy import text

from db.session import Database
from jobs.queue import read_sizes
from jobs.repository import OVERDUE

_FIGURES = text("SELECT * FROM job_figures(:overdue)")
_HELD_BACK = text("SELECT * FROM jobs_held_back()")
# `jobs_held_back` for one tenant, of at most `:most` waiting jobs.
_HELD_BACK_OF = text("""
    SELECT w.reason, count(*) AS jobs, max(last.at) AS last_at FROM (
        SELECT j.id, j.reason FROM jobs j WHERE j.tenant_id = :tenant AND j.state = 'waiting' AND j.reason IS NOT NULL
        LIMIT :most) w
    CROSS JOIN LATERAL (
        SELECT e.what, e.at FROM job_events e WHERE e.job_id = w.id ORDER BY e.id DESC LIMIT 1) last
    WHERE last.what = 'held back' GROUP BY w.reason
""")
MAX_COUNTED = 10_000  # jobs that a page counts at most


class JobFigures(NamedTuple):
    """Counts of unfinished jobs."""

    waiting: int
    running: int
    oldest_waiting_seconds: float
    without_outcome: int  # more than a minute past their deadline: 0 in normal operation


async def job_figures(database: Database) -> JobFigures:
    """Return the figures of all tenants' jobs."""
    (row,) = await database.call(_FIGURES, overdue=OVERDUE)
    return JobFigures(**row)


async def jobs_held_back(database: Database) -> dict[tuple[str, str], int]:
    """Return the number of deferred jobs by tenant and reason."""
    rows = await database.call(_HELD_BACK)
    return {(row["tenant_id"], row["reason"]): row["jobs"] for row in rows}


class HeldJobs(NamedTuple):
    """Jobs of a tenant held back for one reason; `last_at`: the latest hold."""

    jobs: int
    last_at: datetime


async def held_back_of(database: Database, tenant_id: str) -> dict[str, HeldJobs]:
    """Return the tenant's deferred jobs by reason; counts up to MAX_COUNTED."""
    (rows,) = await database.call_as(tenant_id, _HELD_BACK_OF, most=MAX_COUNTED)
    return {row["reason"]: HeldJobs(row["jobs"], row["last_at"]) for row in rows}


# `pg_stat_activity` is read here, not in `signs_of_work`: only the role of a session sees its application name, and
# that function runs as its owner (SECURITY DEFINER).
_WORKER_ACTIVITY = text(
    "SELECT s.*, EXISTS (SELECT FROM pg_stat_activity a"
    " WHERE a.datname = current_database() AND a.application_name = :leases) AS connected"
    " FROM signs_of_work(:lately) s"
)
LEASES = "ai-agents leases"  # application name of each running worker's sessions for its leases
LATELY = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class WorkerActivity:
    """Signs of running workers, from the database."""

    workers: int  # with a leased job
    running: int
    silent: int  # running jobs with an expired lease
    last_started_at: datetime | None  # of a running job, or of any job in the last ten minutes
    # A worker has a session for its leases: none right after a kill, and up to 12 s after a restart of Postgres.
    connected: bool = True


async def worker_activity(database: Database) -> WorkerActivity:
    """Return the workers' activity, of all tenants."""
    (row,) = await database.call(_WORKER_ACTIVITY, lately=LATELY, leases=LEASES)
    return WorkerActivity(**row)


REDIS_REFUSES = "it refuses our password"


@dataclass(frozen=True, slots=True)
class QueueActivity:
    """State of the queue in Redis."""

    waiting: int  # messages in the list
    held: int  # messages taken but not acknowledged
    listening: int | None  # workers that poll; None if unknown
    takes_nothing: bool = False  # Redis accepts no writes: its memory is full, its disk fails, or it is a replica
    quiet: int = 0  # connections of full or stuck workers; a killed worker has none


def is_without_worker(queue: QueueActivity | None, work: WorkerActivity | None) -> bool:
    """Return True if no worker listens or holds a job; False if unknown."""
    if queue is None or queue.listening != 0:
        return False
    if queue.quiet:
        # Leases of a healthy worker may expire while Postgres is away.
        return work is not None and not work.workers and not work.silent
    # A dead worker has neither a session in Postgres nor a connection to Redis.
    return work is None or not work.workers or not work.connected


Reading = Literal["normal", "moderate", "high", "critical"]
MODERATE, HIGH, CRITICAL = 20, 50, 100


def reading_of(waiting: int) -> Reading:
    """Return the level of a queue length, as in the dashboards."""
    if waiting > CRITICAL:
        return "critical"
    return "high" if waiting >= HIGH else "moderate" if waiting >= MODERATE else "normal"


# A listening worker polls each second. A longer idle time means that it is full, stopped or gone.
_LISTENS_SECONDS = 10


async def queue_activity(redis: Redis | None, seconds: float) -> tuple[QueueActivity | None, str]:
    """Return the queue's state, or None and the reason, empty without Redis."""
    if redis is None:
        return None, ""
    try:
        async with asyncio.timeout(seconds):
            return await read_queue(redis), ""
    except AuthenticationError:
        return None, REDIS_REFUSES
    except (RedisError, OSError, TimeoutError):
        return None, "it does not answer"


async def read_queue(redis: Redis) -> QueueActivity:
    """Return the state of the queue. Raises RedisError, OSError or TimeoutError."""
    waiting, held = await read_sizes(redis)
    # Unknown if a managed Redis permits only the lengths.
    listening, quiet, takes_nothing = None, 0, False
    with contextlib.suppress(ResponseError):
        clients = await redis.client_list()
        database = str(redis.connection_pool.connection_kwargs.get("db") or 0)
        idle = [int(client["idle"]) for client in clients if client["cmd"] == "brpop" and client["db"] == database]
        listening = sum(seconds <= _LISTENS_SECONDS for seconds in idle)
        quiet = len(idle) - listening
    with contextlib.suppress(ResponseError):
        memory, disk, role = [await redis.info(part) for part in ("memory", "persistence", "replication")]
        is_full = 0 < int(memory.get("maxmemory", 0)) <= int(memory.get("used_memory", 0))
        follows = role.get("role") == "slave" and bool(int(role.get("slave_read_only", 1)))
        takes_nothing = is_full or follows or disk.get("aof_last_write_status", "ok") != "ok"
    return QueueActivity(waiting, held, listening, takes_nothing, quiet)
