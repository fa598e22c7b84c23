"""Facts of a diagnosis from stores, desk and model. None: not checked."""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, RedisError, ResponseError

from dispatch.queue import QUEUE, UNACKED
from integrations.looks import DeskLook, ModelLook
from storage.by_hand import Details, Happened, Listed
from storage.job_figures import LATELY, HeldJobs, WorkSigns
from storage.jobs import Event
from storage.reconciling import SeenWithoutWebhook
from storage.rejections import Receiving

REDIS_REFUSES = "it refuses our password"


@dataclass(frozen=True, slots=True)
class QueueSigns:
    """Messages that wait and are held, and workers that listen (None: unknown).

    `quiet`: connections of workers that stopped listening, full or stuck; a killed worker has none. `takes_nothing`:
    Redis has no memory left, can't write to its disk, or is a read-only replica.
    """

    waiting: int
    held: int
    listening: int | None
    takes_nothing: bool = False
    quiet: int = 0


def nobody_works(queue: QueueSigns | None, work: WorkSigns | None) -> bool:
    """Return True if no worker listens or holds a job; False if that is unknown.

    A worker counts as dead only without a session in Postgres and without a connection to Redis.
    """
    if queue is None or queue.listening != 0:
        return False
    if queue.quiet:
        # Leases of a healthy worker may expire while Postgres is away.
        return work is not None and not work.workers and not work.silent
    return work is None or not work.workers or not work.connected


@dataclass(frozen=True, slots=True)
class Facts:
    """All facts; `asked_at` is the database's clock, `job` the most informative job."""

    asked_at: datetime
    tenant_id: str | None
    ticket_id: str
    job: Details | None = None
    events: Sequence[Happened] | None = ()
    """What happened to the job; None where the database did not tell in time."""
    others: Sequence[Listed] = ()
    inbox: Event | None = None
    """Its accepted webhook, which Redis keeps until Postgres has it."""
    webhooks: Receiving | None = None
    missing: SeenWithoutWebhook | None = None
    """What reconciliation has seen of it, if it has no job that came of a webhook."""
    reconcile: Literal["report", "on", "poll"] | None = None
    """What the tenant wants done about a webhook that never came; None of a tenant that this process does not know."""
    has_rules: bool = False
    """True if the tenant has settings that leave tickets out."""
    forgotten: bool = False
    """True if the ticket, of which there is no job, was erased at somebody's word."""
    tenant_closed: bool | None = None
    """True if this process finds nothing usable that the tenant's webhooks could be checked by."""
    queue: QueueSigns | None = None
    queue_failure: str = ""
    """Why Redis was asked and said nothing; empty where it was not asked."""
    database_failure: str = ""
    """Why Postgres said nothing at all; empty where it answers."""
    work: WorkSigns | None = None
    held: Mapping[str, HeldJobs] = field(default_factory=dict)
    """Jobs of the tenant that wait held back, by reason."""
    held_elsewhere: Mapping[str, datetime] = field(default_factory=dict)
    """When the model last held back a job of another tenant that shares the process's key, by reason."""
    most_running: int | None = None
    """How many jobs of the tenant may run at a time, where so many do; None where it may begin another."""
    desk: DeskLook = field(default_factory=DeskLook)
    model: ModelLook = field(default_factory=ModelLook)

    @property
    def last_started_at(self) -> datetime | None:
        """Last start of a job within ten minutes, the diagnosed job's included."""
        own = [event.at for event in self.events or () if event.what == "claimed"]
        started = [at for at in own if self.asked_at - at < LATELY]
        if self.work is not None and self.work.last_started_at is not None:
            started.append(self.work.last_started_at)
        return max(started, default=None)


Reading = Literal["normal", "moderate", "high", "critical"]
MODERATE, HIGH, CRITICAL = 20, 50, 100


def reading_of(waiting: int) -> Reading:
    if waiting > CRITICAL:
        return "critical"
    return "high" if waiting >= HIGH else "moderate" if waiting >= MODERATE else "normal"


# A listening worker polls each second: one that has not for so long is full, stopped or gone.
_LISTENS_SECONDS = 10


async def look_at_queue(redis: Redis, seconds: float) -> tuple[QueueSigns | None, str]:
    try:
        async with asyncio.timeout(seconds):
            return await queue_signs(redis), ""
    except AuthenticationError:
        return None, REDIS_REFUSES
    except (RedisError, OSError, TimeoutError):
        return None, "it does not answer"


async def queue_signs(redis: Redis) -> QueueSigns:
    """Return the queue's length, its listeners and whether Redis accepts writes.

    An external Redis may permit the length only: the rest is unknown then. Raises RedisError, OSError or TimeoutError.
    """
    async with redis.pipeline(transaction=False) as pipeline:
        pipeline.llen(QUEUE)
        pipeline.hlen(UNACKED)
        waiting, held = await pipeline.execute()
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
    return QueueSigns(int(waiting), int(held), listening, takes_nothing, quiet)
