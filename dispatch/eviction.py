"""A Redis that may throw keys away is told of at a process's start: a queue must refuse rather than forget."""

from redis.asyncio import Redis
from redis.exceptions import RedisError

from observability import phrases
from observability.logging import say

_SAFE = "noeviction"


async def warn_of_eviction(redis: Redis) -> None:
    """Say so if Redis drops keys when its memory is full, and with which policy.

    No reason not to start: a job is a row first, and comes back into the queue. But an event that waits in the inbox
    for Postgres would be lost. A Redis that does not answer, or may not be asked, says nothing about it.
    """
    try:
        memory = await redis.info("memory")
    except (RedisError, OSError):
        return
    policy = str(memory.get("maxmemory_policy", _SAFE))
    if policy != _SAFE:
        say(phrases.REDIS_MAY_EVICT, policy=policy)
