"""Events that Redis keeps while Postgres is away: the hash `inbox`, job id -> event.

An event is written before its message is published, and deleted after its row is committed, so it is always in one of
the two stores.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter, ValidationError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from dispatch.gathering import Gathering
from dispatch.queue import QueueUnreachable
from observability import metrics, phrases
from observability.logging import say
from storage.deliveries import is_signed_key
from storage.jobs import Event
from storage.limits import DELIVERY_KNOWN

INBOX = "inbox"
"""The hash."""
DELIVERY = "delivery:"
"""How the delivery keys begin; the tenant's id and a colon follow."""
_MOST_PUT = 100
_PUT_SECONDS = 1.0
_EVENT = TypeAdapter(Event)
# Bytes. An event of ours has less than half of it. Postgres indexes no text over 2,704.
_LONGEST_EVENT = 2_000
_DUPLICATE_SECONDS = round(DELIVERY_KNOWN.total_seconds())


class Inbox:
    """The hash and the delivery keys beside it. Each method raises QueueUnreachable."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._putting: Gathering[Event, UUID] = Gathering(self._put_all, _MOST_PUT)

    async def put(self, event: Event) -> UUID:
        """Keep an event and answer its job's id: the first one's for a duplicate."""
        return await self._putting.put(event)

    async def _put_all(self, events: list[Event]) -> list[UUID]:
        try:
            # For all of it: each of its trips has as long by itself.
            async with asyncio.timeout(_PUT_SECONDS):
                firsts = await self._put_together(events)
        except (RedisError, OSError, TimeoutError) as failure:
            raise QueueUnreachable from failure
        return [UUID(first) for first in firsts]

    async def _put_together(self, events: Sequence[Event]) -> list[str]:
        # The events first: a key without its event would answer duplicates with a job that does not exist.
        await self._redis.hset(INBOX, items=[text for event in events for text in _kept(event)])
        owners = await self._owners(events)
        deciding = await self._deciding(owners)
        # The event's own id is among them: of two that came at once each may see the other, and one has to stay.
        firsts = [
            min([str(event.job_id), *(owner for key, owner in owned.items() if (key, owner) in deciding)])
            for event, owned in zip(events, owners, strict=True)
        ]
        await self._leave_to_first(events, owners, firsts)
        return firsts

    async def _owners(self, events: Sequence[Event]) -> list[dict[str, str]]:
        """Return for each event whose each of its keys is: the first job's, for as long as deliveries are known."""
        keys = [(event, key) for event in events for key in sorted(set(event.dedupe_keys))]
        async with self._redis.pipeline(transaction=False) as pipeline:
            for event, key in keys:
                name = _delivery(event.tenant_id, key)
                pipeline.set(name, str(event.job_id), nx=True, ex=_DUPLICATE_SECONDS)
                pipeline.get(name)
            found = (await pipeline.execute())[1::2]
        owners: dict[UUID, dict[str, str]] = {event.job_id: {} for event in events}
        for (event, key), owner in zip(keys, found, strict=True):
            owners[event.job_id][key] = str(owner or event.job_id)
        return [owners[event.job_id] for event in events]

    async def _deciding(self, owners: Sequence[dict[str, str]]) -> set[tuple[str, str]]:
        """Return the keys, each with its owner, that are enough to call an event its duplicate.

        An owner that is in Postgres may have ended without a note, which frees its keys but that of the signed bytes:
        such an event is kept, and Postgres decides when it becomes a row.
        """
        pairs = sorted({pair for owned in owners for pair in owned.items()})
        async with self._redis.pipeline(transaction=False) as pipeline:
            for _, owner in pairs:
                pipeline.hexists(INBOX, owner)
            here = await pipeline.execute()
        return {
            (key, owner) for (key, owner), is_here in zip(pairs, here, strict=True) if is_here or is_signed_key(key)
        }

    async def _leave_to_first(
        self, events: Sequence[Event], owners: Sequence[dict[str, str]], firsts: Sequence[str]
    ) -> None:
        """Remove events that are duplicates, and have their keys name the first one."""
        duplicates = [
            (event, owned, first)
            for event, owned, first in zip(events, owners, firsts, strict=True)
            if first != str(event.job_id)
        ]
        if not duplicates:
            return
        async with self._redis.pipeline(transaction=False) as pipeline:
            for event, owned, first in duplicates:
                for key, owner in owned.items():
                    if owner == str(event.job_id):
                        pipeline.set(_delivery(event.tenant_id, key), first, ex=_DUPLICATE_SECONDS)
                pipeline.hdel(INBOX, str(event.job_id))
            await pipeline.execute()

    async def get(self, job_id: UUID) -> Event | None:
        """Return the event of a job, or None."""
        key = str(job_id)
        try:
            value = await self._redis.hget(INBOX, key)
            events = [] if value is None else await self._events({key: value})
        except (RedisError, OSError, TimeoutError) as failure:
            raise QueueUnreachable from failure
        return events[0] if events else None

    async def some(self, most: int) -> list[Event]:
        """Up to about `most` events."""
        try:
            if not await self._redis.hlen(INBOX):
                return []
            _, found = await self._redis.hscan(INBOX, count=most)
            return await self._events(found if isinstance(found, dict) else {})
        except (RedisError, OSError, TimeoutError) as failure:
            raise QueueUnreachable from failure

    async def all(self) -> list[Event]:
        """All events."""
        try:
            found = [_event(key, value) async for key, value in self._redis.hscan_iter(INBOX, count=1000)]
        except (RedisError, OSError, TimeoutError) as failure:
            raise QueueUnreachable from failure
        return [event for event in found if event is not None]

    async def of_tenant(self, tenant_id: str) -> list[Event]:
        """All events of one tenant."""
        return [event for event in await self.all() if event.tenant_id == tenant_id]

    async def _events(self, found: Mapping[Any, Any]) -> list[Event]:
        """Return the events of entries, and remove the entries that are none: nothing can be made of them."""
        events = {key: _event(key, value) for key, value in found.items()}
        unreadable = [key for key, event in events.items() if event is None]
        if unreadable:
            await self.discard(unreadable)
        return [event for event in events.values() if event is not None]

    async def discard(self, keys: Sequence[Any]) -> None:
        """Remove entries of which no job can be made."""
        try:
            removed = await self._redis.hdel(INBOX, *keys)
        except (RedisError, OSError, TimeoutError) as failure:
            raise QueueUnreachable from failure
        # Of several relays and workers the one that removes an entry counts it.
        if removed:
            metrics.INBOX_UNREADABLE.inc(removed)
            say(phrases.INBOX_UNREADABLE, count=removed)

    async def remove(self, job_id: UUID) -> bool:
        """Delete the event of a job whose row is committed; return True unless another relay or worker did already."""
        try:
            return bool(await self._redis.hdel(INBOX, str(job_id)))
        except (RedisError, OSError, TimeoutError) as failure:
            raise QueueUnreachable from failure


def _kept(event: Event) -> tuple[str, str]:
    return str(event.job_id), json.dumps(event.to_json())


def _delivery(tenant_id: str, key: str) -> str:
    return f"{DELIVERY}{tenant_id}:{key}"


def _event(key: str, stored: str) -> Event | None:
    """Return the event of an entry; None if it is not one, has a text that Postgres refuses, or another job's key."""
    if len(stored.encode(errors="replace")) > _LONGEST_EVENT:
        return None
    try:
        event = _EVENT.validate_json(stored)
    except ValidationError:
        return None
    named = (event.tenant_id, event.ticket_id, *event.dedupe_keys)
    storable = not any("\0" in text for text in (*named, event.event or "", event.traceparent))
    return event if str(event.job_id) == key and storable and event.dedupe_keys and all(named) else None
