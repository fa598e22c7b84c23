"""Events that Redis keeps while Postgres is away: the hash `inbox`, job id -> event.

An event is written before its message is pushed, and deleted after its row is committed, so it is always in one of the
two stores.
"""

import json
from uuid import UUID

from redis.asyncio import Redis
from redis.exceptions import RedisError

from storage.jobs import Event
from worker.queue import QueueUnreachable

_INBOX = "inbox"
_DUPLICATE_SECONDS = 600


class Inbox:
    """The hash and the delivery keys beside it. Each method raises QueueUnreachable."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def put(self, event: Event) -> UUID:
        """Keep an event and answer its job's id: the first one's for a duplicate."""
        own = str(event.job_id)
        keys = [f"delivery:{event.tenant_id}:{key}" for key in sorted(set(event.dedupe_keys))]
        try:
            # The event first: a key without its event would answer duplicates with a job that does not exist.
            await self._redis.hset(_INBOX, own, json.dumps(event.to_json()))
            owners = [await self._owner(key, own) for key in keys]
            first = min((owner for owner in owners if owner != own), default=own)
            if first != own:
                for key, owner in zip(keys, owners, strict=True):
                    if owner == own:
                        await self._redis.set(key, first, ex=_DUPLICATE_SECONDS)
                await self._redis.hdel(_INBOX, own)
            return UUID(first)
        except (RedisError, OSError, TimeoutError) as failure:
            raise QueueUnreachable from failure

    async def _owner(self, key: str, own: str) -> str:
        """The job that a key belongs to from now on: its first one while it lives."""
        if await self._redis.set(key, own, nx=True, ex=_DUPLICATE_SECONDS):
            return own
        return str(await self._redis.getex(key, ex=_DUPLICATE_SECONDS) or own)

    async def get(self, job_id: UUID) -> Event | None:
        """The event of a job, or None."""
        try:
            return _event(await self._redis.hget(_INBOX, str(job_id)))
        except (RedisError, OSError, TimeoutError) as failure:
            raise QueueUnreachable from failure

    async def some(self, most: int) -> list[Event]:
        """Up to about `most` events."""
        try:
            if not await self._redis.hlen(_INBOX):
                return []
            _, found = await self._redis.hscan(_INBOX, count=most)
            stored = list(found.values()) if isinstance(found, dict) else []
        except (RedisError, OSError, TimeoutError) as failure:
            raise QueueUnreachable from failure
        return [event for value in stored if (event := _event(value)) is not None]

    async def remove(self, job_id: UUID) -> bool:
        """Its row is committed. False when it was removed already: the relay and a worker may both move it."""
        try:
            return bool(await self._redis.hdel(_INBOX, str(job_id)))
        except (RedisError, OSError, TimeoutError) as failure:
            raise QueueUnreachable from failure


def _event(stored: str | bytes | None) -> Event | None:
    try:
        return None if stored is None else Event.from_json(json.loads(stored))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
