"""State of the queue in Redis."""

import asyncio

from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, RedisError, ResponseError

from dispatch.queue import QUEUE, UNACKED
from support.diagnose.facts import REDIS_REFUSES, QueueSigns

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

    An external Redis may permit the length only. Raises RedisError, OSError or TimeoutError.
    """
    async with redis.pipeline(transaction=False) as pipeline:
        pipeline.llen(QUEUE)
        pipeline.hlen(UNACKED)
        waiting, held = await pipeline.execute()
    listening, quiet = await _listening(redis)
    return QueueSigns(int(waiting), int(held), listening, await _takes_nothing(redis), quiet)


async def _listening(redis: Redis) -> tuple[int | None, int]:
    """Count clients that wait for a message, as workers do, and those that stopped.

    The first is None if Redis does not permit the command.
    """
    try:
        clients = await redis.client_list()
    except ResponseError:
        return None, 0
    database = str(redis.connection_pool.connection_kwargs.get("db") or 0)
    idle = [int(client["idle"]) for client in clients if client["cmd"] == "brpop" and client["db"] == database]
    listening = sum(seconds <= _LISTENS_SECONDS for seconds in idle)
    return listening, len(idle) - listening


async def _takes_nothing(redis: Redis) -> bool:
    """Return True if memory is full, the disk fails or Redis is a read-only replica.

    False if Redis does not permit the command.
    """
    try:
        memory, disk, role = [await redis.info(part) for part in ("memory", "persistence", "replication")]
    except ResponseError:
        return False
    is_full = 0 < int(memory.get("maxmemory", 0)) <= int(memory.get("used_memory", 0))
    follows = role.get("role") == "slave" and bool(int(role.get("slave_read_only", 1)))
    return is_full or follows or disk.get("aof_last_write_status", "ok") != "ok"
