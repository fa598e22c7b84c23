"""The job message (id and trace) and the queue whose length support reads."""

import asyncio
import base64
import io
import json
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import uvloop
from celery import Celery
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from cli.pilot.free_ports import free_port
from cli.pilot.valkey import Valkey
from jobs.queue import QUEUE, TASK, TRANSPORT, UNACKED, JobQueue, QueueUnavailableError, open_redis, warn_of_eviction
from tests.kit.tcp_proxy import TcpProxy

JOB = UUID("01936b2e-7c1a-7000-8000-0123456789ab")
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
OTHER = UUID("01936b2e-7c1a-7000-8000-0123456789ac")


@pytest.fixture
async def queue(redis_url: str, redis: Redis) -> AsyncIterator[JobQueue]:  # noqa: ARG001 -- emptied by it
    opened = JobQueue(redis_url)
    yield opened
    await opened.close()


async def messages(redis: Redis) -> list[dict[str, Any]]:
    return [json.loads(message) for message in await redis.lrange("celery", 0, -1)]


async def test_a_message_is_the_jobs_id_and_nothing_else(queue: JobQueue, redis: Redis) -> None:
    await queue.publish(JOB, "")
    (message,) = await messages(redis)
    assert message["headers"]["id"] == message["properties"]["correlation_id"] == str(JOB)
    assert message["headers"]["task"] == TASK
    arguments, keywords, embedded = json.loads(base64.b64decode(message["body"]))
    assert (arguments, keywords) == ([str(JOB)], {})
    assert [value for value in embedded.values() if value is not None] == []
    assert (message["headers"]["argsrepr"], message["headers"]["kwargsrepr"]) == ("", "")
    assert (message["headers"]["eta"], message["headers"]["expires"]) == (None, None)


async def test_a_message_is_what_the_installed_celery_sends(queue: JobQueue, redis: Redis, redis_url: str) -> None:
    """Values that are new for each message or sender are excluded."""
    await queue.publish(JOB, TRACE)
    with Celery(broker=redis_url, set_as_current=False) as celery:
        celery.conf.update(task_ignore_result=True, broker_transport_options=TRANSPORT)
        celery.send_task(
            *(TASK, [str(JOB)]),
            task_id=str(JOB),
            queue=QUEUE,
            argsrepr="",
            kwargsrepr="",
            headers={"traceparent": TRACE},
        )
    theirs, ours = await messages(redis)
    for message in (theirs, ours):
        for part, name in (("headers", "origin"), ("properties", "reply_to"), ("properties", "delivery_tag")):
            assert message[part].pop(name)
    assert ours == theirs


async def test_messages_that_come_at_once_go_together_and_in_their_order(queue: JobQueue, redis: Redis) -> None:
    jobs = [uuid4() for _ in range(250)]
    before = await redis.info("commandstats")
    await asyncio.gather(*(queue.publish(job, "") for job in jobs))
    after = await redis.info("commandstats")
    pushes = [stats.get("cmdstat_lpush", {"calls": 0})["calls"] for stats in (before, after)]
    assert pushes[1] - pushes[0] == 3
    assert [message["headers"]["id"] for message in reversed(await messages(redis))] == [str(job) for job in jobs]
    assert len({message["properties"]["delivery_tag"] for message in await messages(redis)}) == 250
    assert [str(key) for key in await redis.keys("celery*")] == ["celery"]


async def test_what_waits_and_what_workers_hold_is_counted_at_once(queue: JobQueue, redis: Redis) -> None:
    assert (QUEUE, UNACKED) == ("celery", "unacked")
    assert await queue.sizes() == (0, 0)
    await queue.publish(JOB, "")
    await queue.publish(OTHER, "")
    await redis.hset("unacked", "a delivery tag", "a message")
    assert await queue.sizes() == (2, 1)


class Forgetful(TcpProxy):
    """Drops connections silently, as a firewall does: a forgotten one's next use is cut off."""

    _forgotten: frozenset[object] = frozenset()

    def forget(self) -> None:
        self._forgotten = frozenset(self.pairs)

    def pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        while (data := source.recv(65536)) and not {(source, sink), (sink, source)} & self._forgotten:
            sink.sendall(data)


@pytest.fixture
def forgetful(redis_url: str, redis: Redis) -> Iterator[Forgetful]:  # noqa: ARG001 -- emptied by it
    door = Forgetful(redis_url)
    yield door
    door.close()


Call = Callable[[], Awaitable[object]]


@pytest.mark.parametrize("what", ["publish", "ask", "client"])
async def test_connections_that_died_idle_fail_no_call(what: str, forgetful: Forgetful, redis: Redis) -> None:
    queue, client = JobQueue(forgetful.url), open_redis(forgetful.url)
    calls: dict[str, Call] = {
        "publish": lambda: queue.publish(uuid4(), ""),
        "ask": queue.sizes,
        "client": lambda: client.lpush(QUEUE, "x"),
    }
    await asyncio.gather(*(calls[what]() for _ in range(6)))
    opened, sent = len(forgetful.pairs), await redis.llen(QUEUE)
    # Concurrent messages share one connection.
    assert opened > (0 if what == "publish" else 1)
    forgetful.forget()
    await asyncio.gather(*(calls[what]() for _ in range(6)))
    assert len(forgetful.pairs) > opened
    assert await redis.llen(QUEUE) == 2 * sent
    await queue.close()
    await client.aclose()


async def test_a_silent_or_absent_server_costs_a_second_at_most() -> None:
    """A retry would cost a second second, and the message may have arrived."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for port in (silent.getsockname()[1], free_port()):
            url = f"redis://127.0.0.1:{port}/0"
            queue, client = JobQueue(url), open_redis(url)
            for call in (lambda at=queue: at.publish(JOB, ""), queue.sizes, client.ping):
                began = time.monotonic()
                with pytest.raises((QueueUnavailableError, RedisError)):
                    await call()
                assert time.monotonic() - began < 1.5
            await queue.close()
            await client.aclose()


def test_a_connection_lost_before_a_command_is_no_failure(redis_url: str) -> None:
    """The processes' event loop, uvloop, raises an exception of its own for it."""

    async def lose() -> None:
        client = open_redis(redis_url)
        connection = client.connection_pool.make_connection()  # type: ignore[no-untyped-call]
        await connection.connect()
        connection._writer.transport.abort()
        await asyncio.sleep(0.05)
        with pytest.raises(RedisConnectionError):
            await connection.send_packed_command(b"PING")
        await client.aclose()

    uvloop.run(lose())


async def test_a_master_that_became_a_replica_is_left_for_the_new_master(tmp_path: Path) -> None:
    """The address leads to the new master; open connections lead to the old one."""
    with Valkey(tmp_path / "old") as old, Valkey(tmp_path / "new") as new:
        door = TcpProxy(old.url)
        queue, client, former = JobQueue(door.url), open_redis(door.url), open_redis(old.url)
        await queue.publish(JOB, "")
        await client.set("key", "old")
        await former.replicaof("127.0.0.1", 1)
        with pytest.raises(QueueUnavailableError):
            await queue.publish(JOB, "")
        door.lead_to(new.url)
        await queue.publish(JOB, "")
        assert await queue.sizes() == (1, 0)
        async with client.pipeline(transaction=False) as pipeline:
            pipeline.set("key", "new")
            pipeline.get("key")
            assert await pipeline.execute() == [True, "new"]
        await queue.close()
        await client.aclose()
        await former.aclose()
        door.close()


async def test_a_redis_that_drops_keys_is_told_of_with_the_remedy(redis: Redis, log: io.StringIO) -> None:
    await warn_of_eviction(redis)
    assert log.getvalue() == ""
    await redis.config_set("maxmemory-policy", "allkeys-lru")
    await warn_of_eviction(redis)
    await redis.config_set("maxmemory-policy", "noeviction")
    away = open_redis(f"redis://127.0.0.1:{free_port()}/0")
    await warn_of_eviction(away)
    await away.aclose()
    (line,) = log.getvalue().splitlines()
    assert "its maxmemory-policy is allkeys-lru, set it to noeviction" in line
    assert "warning" in line
