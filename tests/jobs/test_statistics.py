"""Numbers of jobs held back, of the queue and of workers."""

import asyncio
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import pytest
from redis.asyncio import Redis

from cli.pilot.free_ports import free_port
from cli.pilot.postgres import Postgres
from db.session import Database
from jobs import claims, statistics
from jobs.probe_requests import ProbeRequests
from jobs.queue import open_redis
from jobs.statistics import LEASES, HeldJobs, QueueActivity, read_queue, worker_activity
from tests.kit.postgres import Store, claimed

Columns = dict[str, Any]


async def test_what_is_held_back_is_told_of_one_tenant(store: Store) -> None:
    insert = "INSERT INTO job_events (tenant_id, job_id, attempt, what) VALUES (%s, %s, 1, %s) RETURNING at"
    held = await store.accept(reason="desk unavailable")
    again = await store.accept(reason="GPT-4 timeout")
    theirs = await store.accept(tenant_id="globex", reason="desk unavailable")
    (event,) = store.table.run(insert, "acme", held, "held back")
    store.table.run(insert, "acme", again, "retried")
    store.table.run(insert, "globex", theirs, "held back")
    assert await statistics.held_back_of(store.database, "acme") == {"desk unavailable": HeldJobs(1, event["at"])}
    assert await statistics.held_back_of(store.database, "nobody") == {}


async def test_a_worker_is_visible_while_it_holds_a_job(waiting: UUID, store: Store, server: Postgres) -> None:
    before = await worker_activity(store.database)
    assert (before.workers, before.running, before.silent, before.last_started_at) == (0, 0, 0, None)
    await claimed(store.database, waiting)
    worker = Database(server.url, application_name=LEASES)
    await worker.ping()
    held = await worker_activity(store.database)
    assert (held.workers, held.running, held.silent, held.connected) == (1, 1, 0, True)
    assert held.last_started_at == store.table.job(waiting)["started_at"]
    await worker.close()
    async with asyncio.timeout(5):
        while (await worker_activity(store.database)).connected:  # noqa: ASYNC110 -- another server's memory
            await asyncio.sleep(0.05)
    assert (await worker_activity(store.database)).workers == 1
    store.table.change(waiting, lease_until="now() - interval '1 second'")
    lost = await worker_activity(store.database)
    assert (lost.workers, lost.running, lost.silent) == (0, 1, 1)


@pytest.mark.parametrize(
    "now",
    [
        {"state": "waiting", "published_at": None, "due_at": "now() + interval '5 minutes'"},
        {"state": "waiting", "published_at": "now()", "due_at": "now()"},
        {"state": "completed", "finished_at": "now()"},
    ],
    ids=["held back", "in the queue again", "ended"],
)
async def test_a_job_that_waits_again_or_ended_tells_when_it_was_begun(now: Columns, store: Store) -> None:
    job_id = await store.accept()
    claim = await claimed(store.database, job_id)
    before = (await worker_activity(store.database)).last_started_at
    assert await claims.release(store.database, [claim]) == [True]
    store.table.change(job_id, lease_until=None, **now)
    await store.accept(ticket_id="9")
    assert (await worker_activity(store.database)).last_started_at == before == store.table.job(job_id)["started_at"]
    long_ago = "now() - interval '11 minutes'"
    ended = {"finished_at": long_ago} if "finished_at" in now else {}
    store.table.change(job_id, started_at=long_ago, **ended)
    assert (await worker_activity(store.database)).last_started_at is None


async def until(redis: Redis, signs: QueueActivity) -> None:
    """Wait for a condition: a client's command or disconnection may be in flight."""
    async with asyncio.timeout(5):
        while await read_queue(redis) != signs:  # noqa: ASYNC110 -- another server's memory
            await asyncio.sleep(0.01)


async def test_who_waits_for_a_message_listens_and_nobody_else(redis: Redis, redis_url: str) -> None:
    assert await read_queue(redis) == QueueActivity(0, 0, 0)
    await redis.hset("unacked", "tag", "message")
    elsewhere = open_redis(redis_url.removesuffix("/0") + "/1", seconds=5)
    worker = open_redis(redis_url, seconds=5)
    waits = [asyncio.ensure_future(client.brpop(["celery"], 2)) for client in (elsewhere, worker)]
    await until(redis, QueueActivity(0, 1, 1))
    # The first consumer takes both, the second one waits.
    await redis.lpush("celery", "one", "two")
    assert [*(await waits[1] or ())] == ["celery", "one"]
    assert (await read_queue(redis)).waiting == 1
    await worker.aclose()
    await waits[0]
    await elsewhere.aclose()
    await until(redis, QueueActivity(1, 1, 0))


async def test_a_full_worker_is_quiet(redis: Redis, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = open_redis(redis_url, seconds=5)
    await redis.lpush("celery", "one")
    await worker.brpop(["celery"], 2)
    assert await read_queue(redis) == QueueActivity(0, 0, 1)
    monkeypatch.setattr(statistics, "_LISTENS_SECONDS", -1)
    assert await read_queue(redis) == QueueActivity(0, 0, 0, quiet=1)
    await worker.aclose()
    await until(redis, QueueActivity(0, 0, 0))


async def test_housekeeping_that_waits_for_a_question_is_no_worker(redis: Redis, redis_url: str) -> None:
    housekeeping = open_redis(redis_url, seconds=5)
    task = asyncio.ensure_future(ProbeRequests(housekeeping).take())
    for _ in range(50):
        if any(client["cmd"].endswith("pop") for client in await redis.client_list()):
            break
        await asyncio.sleep(0.01)
    assert (await read_queue(redis)).listening == 0
    assert await task is None
    await housekeeping.aclose()


async def test_a_redis_without_room_or_that_follows_another_one_takes_nothing(redis: Redis) -> None:
    try:
        await redis.config_set("maxmemory", "1")
        assert (await read_queue(redis)).takes_nothing
        await redis.config_set("maxmemory", "0")
        assert not (await read_queue(redis)).takes_nothing
        await redis.slaveof("127.0.0.1", free_port())
        assert (await read_queue(redis)).takes_nothing
    finally:
        await redis.config_set("maxmemory", "0")
        await redis.slaveof()
    assert not (await read_queue(redis)).takes_nothing


async def test_with_few_rights_the_queue_length_is_known(redis: Redis, redis_url: str) -> None:
    """A managed Redis may forbid commands; that is not an outage."""
    await redis.lpush("celery", "one")
    url = urlsplit(redis_url)
    for rights in (["+llen", "+hlen"], ["+llen", "+hlen", "+info"]):
        await redis.acl_setuser("guest", enabled=True, nopass=True, keys=["*"], commands=rights)
        guest = open_redis(url._replace(netloc=f"guest:any@{url.hostname}:{url.port}").geturl(), seconds=5)
        try:
            assert await read_queue(guest) == QueueActivity(1, 0, None)
        finally:
            await guest.aclose()
            await redis.acl_deluser("guest")
