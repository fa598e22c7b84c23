"""The queue of jobs: the Redis list `celery`, whose length operators read.

The API may import only this module and the inbox from this package. Each waiting job has a message with its id and its
trace context; the Celery task id is the job id. A worker that takes a message claims the job whose turn it is, which
may be another one (docs/adr/0023). The task is sent by name, so that publishing loads neither the workflow nor Celery.
"""

import asyncio
from typing import Any
from uuid import UUID

from redis.asyncio import Connection, Redis, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError, RedisError

from dispatch.gathering import Gathering
from dispatch.message import QUEUE, message_of

UNACKED = "unacked"
"""Celery's hash of messages that workers hold: with late acknowledgement, the jobs that run."""

# Workers need this: with other priority steps they would read lists that have no publisher.
TRANSPORT = {"priority_steps": [0]}
_PUBLISH_SECONDS = 1.0
_MOST_PUSHED = 100


class QueueUnreachable(Exception):
    """Redis did not answer within a second; it may still have taken the message."""


class _SaysLost:
    """A connection that reports its loss with the client's exceptions."""

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


class _PlainConnection(_SaysLost, Connection):
    pass


class _TlsConnection(_SaysLost, SSLConnection):
    pass


def open_redis(url: str, *, seconds: float = _PUBLISH_SECONDS) -> Redis:
    """Return a client that gives up after `seconds` instead of trying ten times.

    A command that finds its connection closed is sent once more over a fresh one: the server restarted while the
    connection was idle. A command without an answer is not sent again.
    """
    client: Redis = Redis.from_url(
        url,
        socket_timeout=seconds,
        socket_connect_timeout=min(seconds, 0.5),
        retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
        decode_responses=True,
        # A byte that is not UTF-8 fails its own value only, not the whole reply.
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
        self._pushing: Gathering[str, None] = Gathering(self._push, _MOST_PUSHED)

    async def publish(self, job_id: UUID, traceparent: str) -> None:
        """Publish the job's message with its W3C `traceparent`. Raises QueueUnreachable."""
        await self._pushing.put(message_of(job_id, traceparent))

    async def _push(self, messages: list[str]) -> list[None]:
        try:
            # Includes connecting and the answer.
            async with asyncio.timeout(_PUBLISH_SECONDS):
                await self._redis.lpush(QUEUE, *messages)
        except (RedisError, OSError, TimeoutError) as failure:
            raise QueueUnreachable from failure
        return [None] * len(messages)

    async def depth(self) -> int:
        """Return the number of messages in the list. Raises QueueUnreachable."""
        try:
            return int(await self._redis.llen(QUEUE))
        except (RedisError, OSError, TimeoutError) as failure:
            raise QueueUnreachable from failure

    async def held(self) -> int:
        """Return the number of messages that workers hold. Raises QueueUnreachable."""
        try:
            return int(await self._redis.hlen(UNACKED))
        except (RedisError, OSError, TimeoutError) as failure:
            raise QueueUnreachable from failure

    async def sizes(self) -> tuple[int, int]:
        """Return the numbers of waiting and held messages. Raises QueueUnreachable."""
        try:
            async with self._redis.pipeline(transaction=False) as pipeline:
                pipeline.llen(QUEUE)
                pipeline.hlen(UNACKED)
                listed, held = await pipeline.execute()
        except (RedisError, OSError, TimeoutError) as failure:
            raise QueueUnreachable from failure
        return int(listed), int(held)

    async def close(self) -> None:
        await self._redis.aclose()
