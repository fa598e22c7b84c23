"""A Redis that may throw keys away is told of at a process's start: a queue must refuse rather than forget."""

from redis.asyncio import Redis
from redis.exceptions import RedisError

from observability import phrases
from observability.logging import say

SAFE_POLICY = "noeviction"


async def eviction_policy(redis: Redis) -> str | None:
    """Return what Redis does when its memory is full; None where it may not be asked, or does not answer."""
    try:
        memory = await redis.info("memory")
    except (RedisError, OSError):
        return None
    return str(memory.get("maxmemory_policy", SAFE_POLICY))


async def warn_of_eviction(redis: Redis) -> None:
    """Say so if Redis drops keys when its memory is full, and with which policy.

    No reason not to start: a job is a row first, and comes back into the queue. But an event that waits in the inbox
    for Postgres would be lost. A Redis that does not answer, or may not be asked, says nothing about it.
    """
    policy = await eviction_policy(redis)
    if policy not in (None, SAFE_POLICY):
        say(phrases.REDIS_MAY_EVICT, policy=policy)
