"""The queue of jobs: the Redis list `celery`, whose length operators read.

A message has a job's id, which is the Celery task id, and its trace context. A worker that takes it claims the next job
by fair share, which may be another one (docs/adr/0023). Messages are written here in Celery's format (protocol 2, in
kombu's Redis envelope), because Celery's own sender needs 0.5 ms of CPU and one round trip for each. A test compares
them with the installed Celery's.
Source: https://docs.celeryq.dev/en/stable/internals/protocol.html.
"""

import asyncio
import base64
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any
from uuid import UUID

from redis.asyncio import Connection, Redis, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError, RedisError
from uuid_utils import uuid4

from db.batching import Batcher
from observability import log_events
from observability.logging import log_event

QUEUE = "celery"
TASK = "ai_agents.enhance"
UNACKED = "unacked"  # Celery's hash of unacknowledged messages: those of running jobs
TRANSPORT = {"priority_steps": [0]}  # option of workers: other steps would make them read further lists
_PUBLISH_SECONDS = 1.0
_MAX_PUSHED = 100
_EMBEDDED = json.dumps({"callbacks": None, "errbacks": None, "chain": None, "chord": None})
SAFE_POLICY = "noeviction"


class QueueUnavailableError(Exception):
    """Redis did not answer in time; it may still have executed the command."""


@contextmanager
def reaching_redis() -> Iterator[None]:
    """Raise QueueUnavailableError for a failure of Redis."""
    try:
        yield
    except (RedisError, OSError, TimeoutError) as failure:
        raise QueueUnavailableError from failure


class _LossDetection:
    """A connection that raises the client's ConnectionError for its loss."""

    async def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        """Send a command, raising ConnectionError for a connection just found closed."""
        try:
            await super().send_packed_command(command, check_health)  # type: ignore[misc]
        except RuntimeError as closed:
            raise RedisConnectionError("closed before it was written to") from closed

    async def read_response(self, *args: Any, **options: Any) -> Any:
        """Read a reply, raising ConnectionError if the master has become a replica."""
        try:
            return await super().read_response(*args, **options)  # type: ignore[misc]
        except ReadOnlyError as refused:
            await self.disconnect()  # type: ignore[attr-defined]
            raise RedisConnectionError("not the master any more") from refused


class _PlainConnection(_LossDetection, Connection):
    pass


class _TlsConnection(_LossDetection, SSLConnection):
    pass


def open_redis(url: str, *, seconds: float = _PUBLISH_SECONDS) -> Redis:
    """Return a client that times out after `seconds` and retries once."""
    client: Redis = Redis.from_url(
        url,
        socket_timeout=seconds,
        socket_connect_timeout=min(seconds, 0.5),
        # Only if the connection was closed; redis-py's default is ten retries.
        retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
        decode_responses=True,
        # Invalid UTF-8 affects its own value only, not the whole reply.
        encoding_errors="surrogateescape",
        health_check_interval=15,
    )
    pool = client.connection_pool
    pool.connection_class = _TlsConnection if issubclass(pool.connection_class, SSLConnection) else _PlainConnection
    return client


class JobQueue:
    """The sending end of the queue."""

    def __init__(self, redis_url: str) -> None:
        self._redis = open_redis(redis_url)
        self._pushing: Batcher[str, None] = Batcher(self._push, _MAX_PUSHED)

    async def publish(self, job_id: UUID, traceparent: str) -> None:
        """Publish a job with its W3C `traceparent`. Raises QueueUnavailableError."""
        await self._pushing.put(message_of(job_id, traceparent))

    async def _push(self, messages: list[str]) -> list[None]:
        with reaching_redis():
            async with asyncio.timeout(_PUBLISH_SECONDS):
                await self._redis.lpush(QUEUE, *messages)
        return [None] * len(messages)

    async def sizes(self) -> tuple[int, int]:
        """Return the numbers of waiting and held messages. Raises QueueUnavailableError."""
        with reaching_redis():
            return await read_sizes(self._redis)

    async def close(self) -> None:
        """Close the connections to Redis."""
        await self._redis.aclose()


async def read_sizes(redis: Redis) -> tuple[int, int]:
    """Return the numbers of waiting and held messages. Raises failures of Redis."""
    async with redis.pipeline(transaction=False) as pipeline:
        pipeline.llen(QUEUE)
        pipeline.hlen(UNACKED)
        waiting, held = await pipeline.execute()
    return int(waiting), int(held)


async def eviction_policy(redis: Redis) -> str | None:
    """Return Redis' `maxmemory-policy`; None if it can't be read."""
    try:
        memory = await redis.info("memory")
    except (RedisError, OSError):
        return None
    return str(memory.get("maxmemory_policy", SAFE_POLICY))


async def warn_of_eviction(redis: Redis) -> None:
    """Log a warning if Redis may evict keys: events of the inbox would be lost."""
    policy = await eviction_policy(redis)
    if policy not in (None, SAFE_POLICY):
        log_event(log_events.REDIS_MAY_EVICT, policy=policy)


def message_of(job_id: UUID, traceparent: str) -> str:
    """Return a job's message in Celery's format."""
    job = str(job_id)
    body = base64.b64encode(f'[["{job}"], {{}}, {_EMBEDDED}]'.encode()).decode()
    return _template() % {"job": job, "body": body, "traceparent": traceparent, "tag": str(uuid4())}


def job_id_of(message: bytes) -> UUID | None:
    """Return the job id of a message; None if it is malformed or another task's."""
    try:
        headers = json.loads(message)["headers"]
        return UUID(headers["id"]) if headers["task"] == TASK else None
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None


@cache
def _template() -> str:
    unused = ("shadow", "eta", "expires", "group", "group_index", "parent_id", "ignore_result", "stamped_headers")
    headers = dict.fromkeys(unused) | {
        "lang": "py",
        "task": TASK,
        "id": "%(job)s",
        "retries": 0,
        "timelimit": [None, None],
        "root_id": "%(job)s",
        "argsrepr": "",
        "kwargsrepr": "",
        "origin": f"gen{os.getpid()}@{socket.gethostname()}",
        "replaced_task_nesting": 0,
        "stamps": {},
        "traceparent": "%(traceparent)s",
    }
    properties = {
        "correlation_id": "%(job)s",
        "reply_to": str(uuid4()),
        "argsrepr": "",
        "kwargsrepr": "",
        "delivery_mode": 2,
        "delivery_info": {"exchange": "", "routing_key": QUEUE},
        "priority": 0,
        "body_encoding": "base64",
        # Unique to the message: a worker stores unacknowledged messages under it.
        "delivery_tag": "%(tag)s",
    }
    envelope = {"body": "%(body)s", "content-encoding": "utf-8", "content-type": "application/json"}
    return json.dumps(envelope | {"headers": headers, "properties": properties})
