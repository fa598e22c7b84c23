"""Reads of a tenant's desk that change neither its tokens nor its rate line."""

from collections.abc import Iterator
from typing import Any

import pytest
from redis.asyncio import Redis

from config.settings import DeskClientSettings
from config.tenants import Tenant
from integrations.errors import HeldBack
from integrations.looks import DeskLook, NoteMarks, Sought, look_at_desk
from integrations.rate_limit import DeskRate
from simulators.servicedesk import create_desk
from tests.kit.desk import TENANT_OF, Edition, new_ticket, opened, settings
from tests.kit.simulators import DESKS, Simulator, simulator_of
from workflow.note import is_note, is_note_of


@pytest.fixture(scope="module")
def desk_simulator() -> Iterator[Simulator]:
    """Start desks for this module only, since its tests revoke tokens."""
    yield from simulator_of(create_desk(DESKS))


async def look(desks: Simulator, redis: Redis, edition: Edition, ticket_id: str, **changed: Any) -> DeskLook:
    tenant = Tenant(TENANT_OF[edition], desk=settings(desks.url, edition, **changed))
    stores: dict[str, Any] = {"database_url": "postgresql://nobody@127.0.0.1/x", "redis_url": "redis://127.0.0.1/0"}
    marks = NoteMarks(is_note_of, is_note)
    return await look_at_desk(tenant, DeskClientSettings(**stores), redis, Sought(ticket_id), marks)


async def everything(redis: Redis) -> dict[str, Any]:
    """Return all of Redis except the time of the next call, which each call moves."""
    keys = [str(key) for key in await redis.keys()]
    return {key: await redis.dump(key) for key in keys if await redis.type(key) != "hash"}


async def test_a_cloud_desk_is_asked_with_the_shared_token_or_not_at_all(desks: Simulator, redis: Redis) -> None:
    ticket_id = new_ticket(desks, "cloud")
    seen = await look(desks, redis, "cloud", ticket_id)
    assert (seen.asked, "share no token" in seen.failure) == (False, True)
    assert (await redis.keys(), desks.requests(operation="token", tenant="globex")) == ([], [])
    async with opened(settings(desks.url, "cloud"), redis=redis) as worker:
        await worker.read_ticket(ticket_id)
    before = await everything(redis)
    assert len(before) == 1
    seen = await look(desks, redis, "cloud", ticket_id)
    assert (seen.asked, seen.ticket, seen.failure) == (True, "open", "")
    desks.change("DELETE", "/desks/globex/tokens")
    seen = await look(desks, redis, "cloud", ticket_id)
    assert (seen.asked, "refuses the token" in seen.failure) == (False, True)
    assert await everything(redis) == before
    assert len(desks.requests(operation="token", tenant="globex")) == 1


async def test_a_desk_that_has_had_its_calls_is_not_asked_and_no_place_is_kept(desks: Simulator, redis: Redis) -> None:
    ticket_id = new_ticket(desks)
    rate = DeskRate("acme", 6, redis, patience_seconds=0)
    await rate.take("of a job")
    with pytest.raises(HeldBack):
        await rate.take("of another job")
    before = await everything(redis)
    assert len(before) == 2
    seen = await look(desks, redis, "onpremises", ticket_id, rate_per_minute=6)
    assert (seen.asked, "desk rate limit" in seen.failure) == (False, True)
    assert await everything(redis) == before
    await redis.flushdb()
    seen = await look(desks, redis, "onpremises", ticket_id, rate_per_minute=6)
    assert seen.ticket == "open"
    assert await everything(redis) == {}
