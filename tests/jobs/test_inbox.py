"""Events kept in Redis while Postgres is unavailable."""

import asyncio
import json
import socket
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest
from redis.asyncio import Redis
from uuid_utils.compat import uuid7

from cli.pilot.free_ports import free_port
from db.session import split
from jobs.inbox import Inbox
from jobs.queue import QueueUnavailableError, open_redis
from jobs.repository import Event

LONG = "".join(map(chr, range(0x4E00, 0x4E00 + 1_300)))
"""3,900 bytes, which no index takes."""
EVENT = Event(
    job_id=UUID("01936b2e-7c1a-7000-8000-0123456789ab"),
    tenant_id="acme",
    ticket_id="12345",
    event=None,
    dedupe_keys=("d",),
    traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    accepted_at=datetime(2026, 11, 4, 9, 0, 0, 123456, tzinfo=UTC),
)


@pytest.fixture
def inbox(redis: Redis) -> Inbox:
    return Inbox(redis)


async def test_an_event_comes_back_as_it_was_kept(inbox: Inbox) -> None:
    assert await inbox.put(EVENT) == EVENT.job_id
    other = replace(EVENT, job_id=uuid7(), tenant_id="globex")
    assert await inbox.put(other) == other.job_id  # its tenant has delivery keys of its own
    assert await inbox.get(EVENT.job_id) == EVENT
    assert {event.job_id for event in await inbox.some(10)} == {EVENT.job_id, other.job_id}
    await inbox.remove(EVENT.job_id)
    assert await inbox.get(EVENT.job_id) is None
    assert await inbox.some(10) == [other]


async def test_an_event_that_shares_a_key_gets_the_first_ones_id(inbox: Inbox) -> None:
    first = replace(EVENT, dedupe_keys=("id 1", "signed:1"))
    await inbox.put(first)
    assert await inbox.put(first) == first.job_id
    for keys in (("id 1", "signed:1"), ("id 2", "signed:1"), ("id 1", "signed:2"), ("id 2", "signed:3")):
        assert await inbox.put(replace(EVENT, job_id=uuid7(), dedupe_keys=keys)) == first.job_id
    assert await inbox.some(10) == [first]


async def test_after_the_first_event_has_a_row_only_signed_keys_are_duplicates(inbox: Inbox) -> None:
    """Its job may have ended without a note, so Postgres decides about the other keys."""
    first = replace(EVENT, dedupe_keys=("id", "signed:1"))
    await inbox.put(first)
    await inbox.remove(first.job_id)
    assert await inbox.put(replace(first, job_id=uuid7())) == first.job_id
    later = replace(EVENT, job_id=uuid7(), dedupe_keys=("id", "signed:2"))
    assert await inbox.put(later) == later.job_id
    assert await inbox.some(10) == [later]


async def test_a_delivery_is_remembered_for_ten_minutes_and_no_longer_for_a_copy(redis: Redis, inbox: Inbox) -> None:
    await inbox.put(EVENT)
    (key,) = [name for name in await redis.keys("*") if name != "inbox"]
    assert 590 < await redis.ttl(key) <= 600
    await redis.expire(key, 5)
    assert await inbox.put(replace(EVENT, job_id=uuid7())) == EVENT.job_id
    assert await redis.ttl(key) <= 5


async def test_nothing_in_the_hash_can_stop_the_others(redis: Redis, inbox: Inbox) -> None:
    for number, strange in enumerate(["", "not json", "[]", "17", "null", "{}", '{"job_id": 5, "accepted_at": 5}']):
        await redis.hset("inbox", f"strange {number}", strange)
    await inbox.put(EVENT)
    assert await inbox.some(10) == [EVENT]
    assert await inbox.get(uuid7()) is None


@pytest.mark.parametrize(
    "other",
    [{"dedupe_keys": []}, {"dedupe_keys": [""]}, {"dedupe_keys": [LONG]}]
    + [{name: value} for name in ("tenant_id", "ticket_id") for value in ("", LONG)],
    ids=lambda other: str(other)[:30],
)
async def test_an_event_that_postgres_would_refuse_is_removed(other: dict[str, object], redis: Redis) -> None:
    await redis.hset("inbox", str(EVENT.job_id), json.dumps(EVENT.to_json() | other, ensure_ascii=False))
    assert await Inbox(redis).some(10) == []
    assert await redis.hlen("inbox") == 0


async def test_all_of_many_events_are_found_in_the_end(inbox: Inbox) -> None:
    kept = [replace(EVENT, job_id=uuid7(), dedupe_keys=(str(number),)) for number in range(600)]
    for at_once in split(kept, 100):
        await asyncio.gather(*map(inbox.put, at_once))
    found: set[UUID] = set()
    while some := await inbox.some(100):
        found |= {event.job_id for event in some}
        for event in some:
            await inbox.remove(event.job_id)
    assert found == {event.job_id for event in kept}


async def test_a_server_that_is_away_is_one_failure_for_every_call() -> None:
    away = open_redis(f"redis://127.0.0.1:{free_port()}/0")
    inbox = Inbox(away)
    for call in (inbox.put(EVENT), inbox.get(EVENT.job_id), inbox.some(10), inbox.remove(EVENT.job_id)):
        with pytest.raises(QueueUnavailableError):
            await call
    await away.aclose()


async def test_one_of_two_concurrent_duplicates_stays(redis: Redis, inbox: Inbox) -> None:
    """Each took one of the keys first: both must not become duplicates of the other."""
    one, other = (replace(EVENT, job_id=UUID(int=number), dedupe_keys=("a", "b")) for number in (1, 2))
    # The content of Redis when both are half done.
    for event, key in ((one, "a"), (other, "b")):
        await redis.hset("inbox", str(event.job_id), json.dumps(event.to_json()))
        await redis.set(f"delivery:acme:{key}", str(event.job_id))
    answers = [await inbox.put(event) for event in (one, other)]
    assert answers == [one.job_id, one.job_id]
    assert [event.job_id for event in await inbox.some(10)] == [one.job_id]


async def test_a_server_that_never_answers_is_given_up_in_a_second() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = open_redis(f"redis://127.0.0.1:{silent.getsockname()[1]}/0", seconds=30)
        began = asyncio.get_running_loop().time()
        with pytest.raises(QueueUnavailableError):
            await Inbox(client).put(EVENT)
        assert asyncio.get_running_loop().time() - began < 1.4
        await client.aclose()
