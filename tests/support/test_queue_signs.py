"""Queue signs in Redis: length, consumers, and whether it accepts writes."""

import asyncio
from urllib.parse import urlsplit

import pytest
from redis.asyncio import Redis

from devstack.free_ports import free_port
from dispatch.asking import LookQuestions
from dispatch.queue import open_redis
from support.diagnose import facts as queue_looks
from support.diagnose.facts import QueueSigns, queue_signs


async def until(redis: Redis, signs: QueueSigns) -> None:
    """Wait for a condition: a client's command or disconnection may be in flight."""
    for _ in range(500):
        if await queue_signs(redis) == signs:
            return
        await asyncio.sleep(0.01)
    assert await queue_signs(redis) == signs


async def test_who_waits_for_a_message_listens_and_nobody_else(redis: Redis, redis_url: str) -> None:
    assert await queue_signs(redis) == QueueSigns(0, 0, 0)
    await redis.hset("unacked", "tag", "message")
    elsewhere = open_redis(redis_url.removesuffix("/0") + "/1", seconds=5)
    worker = open_redis(redis_url, seconds=5)
    waits = [asyncio.ensure_future(client.brpop(["celery"], 2)) for client in (elsewhere, worker)]
    await until(redis, QueueSigns(0, 1, 1))
    # The first consumer takes both, the second one waits.
    await redis.lpush("celery", "one", "two")
    assert [*(await waits[1] or ())] == ["celery", "one"]
    assert (await queue_signs(redis)).waiting == 1
    await worker.aclose()
    await waits[0]
    await elsewhere.aclose()
    await until(redis, QueueSigns(1, 1, 0))


async def test_a_worker_that_is_full_is_quiet_until_it_is_gone(
    redis: Redis, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = open_redis(redis_url, seconds=5)
    await redis.lpush("celery", "one")
    await worker.brpop(["celery"], 2)
    assert await queue_signs(redis) == QueueSigns(0, 0, 1)
    monkeypatch.setattr(queue_looks, "_LISTENS_SECONDS", -1)
    assert await queue_signs(redis) == QueueSigns(0, 0, 0, quiet=1)
    await worker.aclose()
    await until(redis, QueueSigns(0, 0, 0))


async def test_a_redis_without_room_takes_nothing(redis: Redis) -> None:
    await redis.config_set("maxmemory", "1")
    try:
        assert (await queue_signs(redis)).takes_nothing
    finally:
        await redis.config_set("maxmemory", "0")
    assert not (await queue_signs(redis)).takes_nothing


async def test_a_redis_that_follows_another_one_takes_nothing(redis: Redis) -> None:
    await redis.slaveof("127.0.0.1", free_port())
    try:
        assert (await queue_signs(redis)).takes_nothing
    finally:
        await redis.slaveof()
    assert not (await queue_signs(redis)).takes_nothing


@pytest.mark.parametrize("rights", [["+llen", "+hlen"], ["+llen", "+hlen", "+info"]])
async def test_where_not_all_may_be_asked_the_length_is_told_all_the_same(
    rights: list[str], redis: Redis, redis_url: str
) -> None:
    """A managed Redis may forbid commands; that is not an outage."""
    await redis.acl_setuser("guest", enabled=True, nopass=True, keys=["*"], commands=rights)
    await redis.lpush("celery", "one")
    url = urlsplit(redis_url)
    guest = open_redis(url._replace(netloc=f"guest:any@{url.hostname}:{url.port}").geturl(), seconds=5)
    try:
        assert await queue_signs(guest) == QueueSigns(1, 0, None)
    finally:
        await guest.aclose()
        await redis.acl_deluser("guest")


async def test_housekeeping_that_waits_for_a_question_is_no_worker(redis: Redis, redis_url: str) -> None:
    housekeeping = open_redis(redis_url, seconds=5)
    asked = asyncio.ensure_future(LookQuestions(housekeeping).take())
    for _ in range(50):
        if any(client["cmd"].endswith("pop") for client in await redis.client_list()):
            break
        await asyncio.sleep(0.01)
    assert (await queue_signs(redis)).listening == 0
    assert await asked is None
    await housekeeping.aclose()
