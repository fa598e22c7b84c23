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

from db.batching import Batcher
from jobs.queue import reaching_redis
from jobs.repository import DELIVERY_KNOWN, SIGNED_KEY, Event
from observability import log_events, metrics
from observability.logging import log_event

INBOX = "inbox"
DELIVERY = "delivery:"  # prefix of the delivery keys, before tenant id and colon
_MAX_PUBLISHED = 100
_PUT_SECONDS = 1.0
_EVENT = TypeAdapter(Event)
# Bytes; real events have less than half. Postgres cannot index a text over 2,704.
_MAX_EVENT_LENGTH = 2_000
_DUPLICATE_SECONDS = round(DELIVERY_KNOWN.total_seconds())
# KEYS: the hash and the event's delivery keys. ARGV: job id, event, lifetime of the keys in seconds, and for each key 1
# if it is of signed bytes, else 0. A key's value, its owner, is the job id of the first event that had it. A duplicate
# is proven only by a key of signed bytes, or by an owner that is still in the hash. Otherwise Postgres decides later.
_PUT = """
local first
for i = 2, #KEYS do
  local owner = redis.call('GET', KEYS[i])
  local decides = owner and (ARGV[i + 2] == '1' or redis.call('HEXISTS', KEYS[1], owner) == 1)
  if decides and (not first or owner < first) then
    first = owner
  end
end
first = first or ARGV[1]
for i = 2, #KEYS do
  redis.call('SET', KEYS[i], first, 'NX', 'EX', ARGV[3])
end
if first == ARGV[1] then
  redis.call('HSET', KEYS[1], first, ARGV[2])
else
  redis.call('HDEL', KEYS[1], ARGV[1])
end
return first
"""


class Inbox:
    """The hash and its delivery keys. All methods raise QueueUnavailableError."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._putting: Batcher[Event, UUID] = Batcher(self._put_all, _MAX_PUBLISHED)

    async def put(self, event: Event) -> UUID:
        """Store an event; return its job's id, or the first job's for a duplicate."""
        return await self._putting.put(event)

    async def _put_all(self, events: list[Event]) -> list[UUID]:
        with reaching_redis():
            async with asyncio.timeout(_PUT_SECONDS), self._redis.pipeline(transaction=False) as pipeline:
                for event in events:
                    keys = sorted(set(event.dedupe_keys))
                    names = [INBOX, *(f"{DELIVERY}{event.tenant_id}:{key}" for key in keys)]
                    signed = [int(key.startswith(SIGNED_KEY)) for key in keys]
                    stored = json.dumps(event.to_json())
                    pipeline.eval(_PUT, len(names), *names, str(event.job_id), stored, _DUPLICATE_SECONDS, *signed)
                firsts = await pipeline.execute()
        return [UUID(first) for first in firsts]

    async def get(self, job_id: UUID) -> Event | None:
        """Return the event of a job; delete it and return None if it is unreadable."""
        with reaching_redis():
            stored = await self._redis.hget(INBOX, str(job_id))
        events = [] if stored is None else await self._events({str(job_id): stored})
        return events[0] if events else None

    async def some(self, most: int) -> list[Event]:
        with reaching_redis():
            _, entries = await self._redis.hscan(INBOX, count=most)
        return await self._events(entries if isinstance(entries, dict) else {})

    async def all(self) -> list[Event]:
        """Return all readable events."""
        with reaching_redis():
            entries = [entry async for entry in self._redis.hscan_iter(INBOX, count=1000)]
        return [event for key, stored in entries if (event := _event(key, stored)) is not None]

    async def of_tenant(self, tenant_id: str) -> list[Event]:
        """Return the tenant's readable events; reads all events."""
        return [event for event in await self.all() if event.tenant_id == tenant_id]

    async def _events(self, entries: Mapping[Any, Any]) -> list[Event]:
        events = {key: _event(key, stored) for key, stored in entries.items()}
        unreadable = [key for key, event in events.items() if event is None]
        if unreadable:
            await self.discard(unreadable)
        return [event for event in events.values() if event is not None]

    async def discard(self, keys: Sequence[Any]) -> None:
        with reaching_redis():
            removed = await self._redis.hdel(INBOX, *keys)
        # Several processes may delete the same entry: only the one that removes it counts it.
        if removed:
            metrics.INBOX_UNREADABLE.inc(removed)
            log_event(log_events.INBOX_UNREADABLE, count=removed)

    async def remove(self, job_id: UUID) -> bool:
        """Delete the event of a committed job; return False if it was already gone."""
        with reaching_redis():
            return bool(await self._redis.hdel(INBOX, str(job_id)))


def _event(key: str, stored: str) -> Event | None:
    if len(stored.encode(errors="replace")) > _MAX_EVENT_LENGTH:
        return None
    try:
        event = _EVENT.validate_json(stored)
    except ValidationError:
        return None
    named = (event.tenant_id, event.ticket_id, *event.dedupe_keys)
    storable = not any("\0" in text for text in (*named, event.event or "", event.traceparent))
    return event if str(event.job_id) == key and storable and event.dedupe_keys and all(named) else None
