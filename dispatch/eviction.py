"""A warning at start for a Redis that may evict keys."""

from redis.asyncio import Redis
from redis.exceptions import RedisError

from observability import phrases
from observability.logging import say

SAFE_POLICY = "noeviction"


async def eviction_policy(redis: Redis) -> str | None:
    """Return `maxmemory-policy`; None if Redis refuses to show it or is silent."""
    try:
        memory = await redis.info("memory")
    except (RedisError, OSError):
        return None
    return str(memory.get("maxmemory_policy", SAFE_POLICY))


async def warn_of_eviction(redis: Redis) -> None:
    """Log the eviction policy if Redis may drop keys.

    The process starts anyway: a job's row restores its message. But an event in the inbox would be lost while Postgres
    is away.
    """
    policy = await eviction_policy(redis)
    if policy not in (None, SAFE_POLICY):
        say(phrases.REDIS_MAY_EVICT, policy=policy)
