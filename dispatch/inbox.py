"""Events that Redis keeps while Postgres is away: the hash `inbox`, job id -> event.

An event is written before its message is published, and deleted after its row is committed, so it is always in one of
the two stores.
"""

import json
from uuid import UUID

from redis.asyncio import Redis
from redis.exceptions import RedisError

from dispatch.queue import QueueUnreachable
from storage.deliveries import is_signed_key
from storage.jobs import Event
from storage.limits import DELIVERY_KNOWN

INBOX = "inbox"
"""The hash."""
DELIVERY = "delivery:"
"""How the delivery keys begin; the tenant's id and a colon follow."""
_DUPLICATE_SECONDS = round(DELIVERY_KNOWN.total_seconds())


class Inbox:
    """The hash and the delivery keys beside it. Each method raises QueueUnreachable."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def put(self, event: Event) -> UUID:
        """Keep an event and answer its job's id: the first one's for a duplicate."""
        own = str(event.job_id)
        try:
            # The event first: a key without its event would answer duplicates with a job that does not exist.
            await self._redis.hset(INBOX, own, json.dumps(event.to_json()))
            owners = {key: await self._owner(event.tenant_id, key, own) for key in sorted(set(event.dedupe_keys))}
            firsts = [owner for key, owner in owners.items() if owner != own and await self._decides(key, owner)]
            # The event's own id is among them: of two that came at once each may see the other, and one has to stay.
            first = min([*firsts, own])
            if first != own:
                for key, owner in owners.items():
                    if owner == own:
                        await self._redis.set(_delivery(event.tenant_id, key), first, ex=_DUPLICATE_SECONDS)
                await self._redis.hdel(INBOX, own)
            return UUID(first)
        except (RedisError, OSError, TimeoutError) as failure:
            raise QueueUnreachable from failure

    async def _owner(self, tenant_id: str, key: str, own: str) -> str:
        """Return the job that a delivery key belongs to: the first that had it, for as long as deliveries are known."""
        name = _delivery(tenant_id, key)
        if await self._redis.set(name, own, nx=True, ex=_DUPLICATE_SECONDS):
            return own
        return str(await self._redis.get(name) or own)

    async def _decides(self, key: str, owner: str) -> bool:
        """Return True if the key's owner is enough to call an event its duplicate.

        An owner that is in Postgres may have ended without a note, which frees its keys but that of the signed bytes:
        such an event is kept, and Postgres decides when it becomes a row.
        """
        return is_signed_key(key) or bool(await self._redis.hexists(INBOX, owner))

    async def get(self, job_id: UUID) -> Event | None:
        """The event of a job, or None."""
        try:
            return _event(await self._redis.hget(INBOX, str(job_id)))
        except (RedisError, OSError, TimeoutError) as failure:
            raise QueueUnreachable from failure

    async def some(self, most: int) -> list[Event]:
        """Up to about `most` events."""
        try:
            if not await self._redis.hlen(INBOX):
                return []
            _, found = await self._redis.hscan(INBOX, count=most)
            stored = list(found.values()) if isinstance(found, dict) else []
        except (RedisError, OSError, TimeoutError) as failure:
            raise QueueUnreachable from failure
        return [event for value in stored if (event := _event(value)) is not None]

    async def of_tenant(self, tenant_id: str) -> list[Event]:
        """All of one tenant."""
        try:
            stored = [value async for _, value in self._redis.hscan_iter(INBOX, count=1000)]
        except (RedisError, OSError, TimeoutError) as failure:
            raise QueueUnreachable from failure
        events = [event for value in stored if (event := _event(value)) is not None]
        return [event for event in events if event.tenant_id == tenant_id]

    async def remove(self, job_id: UUID) -> bool:
        """Delete the event of a job whose row is committed; return True unless another relay or worker did already."""
        try:
            return bool(await self._redis.hdel(INBOX, str(job_id)))
        except (RedisError, OSError, TimeoutError) as failure:
            raise QueueUnreachable from failure


def _delivery(tenant_id: str, key: str) -> str:
    return f"{DELIVERY}{tenant_id}:{key}"


def _event(stored: str | bytes | None) -> Event | None:
    try:
        return None if stored is None else Event.from_json(json.loads(stored))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
