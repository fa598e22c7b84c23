"""Events in Redis while Postgres is away: the hash `inbox`, job id -> event.

An event is written before its message is published and deleted after its row is committed, so one of the two stores
always has it.
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
from storage.jobs import Event, is_signed_key
from storage.limits import DELIVERY_KNOWN

INBOX = "inbox"
"""The hash."""
DELIVERY = "delivery:"
"""How the delivery keys begin; the tenant's id and a colon follow."""
_MOST_PUT = 100
_PUT_SECONDS = 1.0
_EVENT = TypeAdapter(Event)
# Bytes. Our events are less than half as long. Postgres cannot index a text over 2,704.
_LONGEST_EVENT = 2_000
_DUPLICATE_SECONDS = round(DELIVERY_KNOWN.total_seconds())


class Inbox:
    """The hash and its delivery keys. Each method raises QueueUnreachable."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._putting: Gathering[Event, UUID] = Gathering(self._put_all, _MOST_PUT)

    async def put(self, event: Event) -> UUID:
        """Store an event and return its job's id: the first one's for a duplicate."""
        return await self._putting.put(event)

    async def _put_all(self, events: list[Event]) -> list[UUID]:
        try:
            # One limit for all round trips; each has the same limit by itself.
            async with asyncio.timeout(_PUT_SECONDS):
                firsts = await self._put_together(events)
        except (RedisError, OSError, TimeoutError) as failure:
            raise QueueUnreachable from failure
        return [UUID(first) for first in firsts]

    async def _put_together(self, events: Sequence[Event]) -> list[str]:
        # Events first: a key without its event would answer duplicates with a job that does not exist.
        await self._redis.hset(INBOX, items=[text for event in events for text in _kept(event)])
        owners = await self._owners(events)
        deciding = await self._deciding(owners)
        # Includes the event's own id: two concurrent duplicates may see each other, and one has to stay.
        firsts = [
            min([str(event.job_id), *(owner for key, owner in owned.items() if (key, owner) in deciding)])
            for event, owned in zip(events, owners, strict=True)
        ]
        await self._leave_to_first(events, owners, firsts)
        return firsts

    async def _owners(self, events: Sequence[Event]) -> list[dict[str, str]]:
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
        """Return the keys, with their owners, that prove a duplicate.

        An owner whose row is in Postgres may have ended without a note, which frees all its keys except that of the
        signed bytes. Such an event is stored, and Postgres decides.
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
        key = str(job_id)
        try:
            value = await self._redis.hget(INBOX, key)
            events = [] if value is None else await self._events({key: value})
        except (RedisError, OSError, TimeoutError) as failure:
            raise QueueUnreachable from failure
        return events[0] if events else None

    async def some(self, most: int) -> list[Event]:
        """Return about `most` events at most."""
        try:
            if not await self._redis.hlen(INBOX):
                return []
            _, found = await self._redis.hscan(INBOX, count=most)
            return await self._events(found if isinstance(found, dict) else {})
        except (RedisError, OSError, TimeoutError) as failure:
            raise QueueUnreachable from failure

    async def all(self) -> list[Event]:
        try:
            found = [_event(key, value) async for key, value in self._redis.hscan_iter(INBOX, count=1000)]
        except (RedisError, OSError, TimeoutError) as failure:
            raise QueueUnreachable from failure
        return [event for event in found if event is not None]

    async def of_tenant(self, tenant_id: str) -> list[Event]:
        return [event for event in await self.all() if event.tenant_id == tenant_id]

    async def _events(self, found: Mapping[Any, Any]) -> list[Event]:
        events = {key: _event(key, value) for key, value in found.items()}
        unreadable = [key for key, event in events.items() if event is None]
        if unreadable:
            await self.discard(unreadable)
        return [event for event in events.values() if event is not None]

    async def discard(self, keys: Sequence[Any]) -> None:
        try:
            removed = await self._redis.hdel(INBOX, *keys)
        except (RedisError, OSError, TimeoutError) as failure:
            raise QueueUnreachable from failure
        # The relay or worker that removes an entry counts it.
        if removed:
            metrics.INBOX_UNREADABLE.inc(removed)
            say(phrases.INBOX_UNREADABLE, count=removed)

    async def remove(self, job_id: UUID) -> bool:
        """Delete the event of a committed job; return False if it was already gone."""
        try:
            return bool(await self._redis.hdel(INBOX, str(job_id)))
        except (RedisError, OSError, TimeoutError) as failure:
            raise QueueUnreachable from failure


def _kept(event: Event) -> tuple[str, str]:
    return str(event.job_id), json.dumps(event.to_json())


def _delivery(tenant_id: str, key: str) -> str:
    return f"{DELIVERY}{tenant_id}:{key}"


def _event(key: str, stored: str) -> Event | None:
    """Return the event; None if malformed, unfit for Postgres or under another key."""
    if len(stored.encode(errors="replace")) > _LONGEST_EVENT:
        return None
    try:
        event = _EVENT.validate_json(stored)
    except ValidationError:
        return None
    named = (event.tenant_id, event.ticket_id, *event.dedupe_keys)
    storable = not any("\0" in text for text in (*named, event.event or "", event.traceparent))
    return event if str(event.job_id) == key and storable and event.dedupe_keys and all(named) else None
