"""The queue of jobs: the Redis list `celery`, whose length support reads.

All that the API may import from here, with the inbox beside it. Each waiting job has a message there, which holds the
job's id and its trace context, nothing else; the Celery task id is the job id. A worker that takes a message claims the
job whose turn it is, which may be another one (docs/adr/0023). The task is sent by name, so that publishing loads
nothing of the workflow, nor of Celery.
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

# What a worker needs to know of the list: with other priority steps it would read lists that nobody pushes to.
TRANSPORT = {"priority_steps": [0]}
_PUBLISH_SECONDS = 1.0
_MOST_PUSHED = 100


class QueueUnreachable(Exception):
    """Redis did not take a message, or did not answer, within a second. It may have taken it all the same."""


class _SaysLost:
    """A connection that tells of its loss as the client's other failures are told."""

    async def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        """Send a command. Raises redis' ConnectionError, also where uvloop found the connection closed just before."""
        try:
            await super().send_packed_command(command, check_health)  # type: ignore[misc]
        except RuntimeError as closed:
            raise RedisConnectionError("closed before it was written to") from closed

    async def read_response(self, *args: Any, **options: Any) -> Any:
        """Read a reply. Raises redis' ConnectionError where a master has become a replica: the new one is elsewhere."""
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

    A command that finds its connection closed is sent again at once, once, over a fresh one: the server was restarted
    while the connection lay idle, and is there. One that gets no answer is not.
    """
    client: Redis = Redis.from_url(
        url,
        socket_timeout=seconds,
        socket_connect_timeout=min(seconds, 0.5),
        retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
        decode_responses=True,
        # A byte that is no UTF-8 fails its own value, and not the reply that it comes in.
        encoding_errors="surrogateescape",
        health_check_interval=15,
    )
    pool = client.connection_pool
    pool.connection_class = _TlsConnection if issubclass(pool.connection_class, SSLConnection) else _PlainConnection
    return client


class JobQueue:
    """The sending end."""

    def __init__(self, redis_url: str) -> None:
        self._redis = open_redis(redis_url)
        self._pushing: Gathering[str, None] = Gathering(self._push, _MOST_PUSHED)

    async def publish(self, job_id: UUID, traceparent: str) -> None:
        """Publish the job's message, which carries the W3C `traceparent` of its trace. Raises QueueUnreachable."""
        await self._pushing.put(message_of(job_id, traceparent))

    async def _push(self, messages: list[str]) -> list[None]:
        try:
            # For the whole of it: connecting, and the answer.
            async with asyncio.timeout(_PUBLISH_SECONDS):
                await self._redis.lpush(QUEUE, *messages)
        except (RedisError, OSError, TimeoutError) as failure:
            raise QueueUnreachable from failure
        return [None] * len(messages)

    async def depth(self) -> int:
        """Messages that wait in the list. Raises QueueUnreachable."""
        try:
            return int(await self._redis.llen(QUEUE))
        except (RedisError, OSError, TimeoutError) as failure:
            raise QueueUnreachable from failure

    async def held(self) -> int:
        """Messages that workers hold. Raises QueueUnreachable."""
        try:
            return int(await self._redis.hlen(UNACKED))
        except (RedisError, OSError, TimeoutError) as failure:
            raise QueueUnreachable from failure

    async def sizes(self) -> tuple[int, int]:
        """Return how many messages wait in the list, and how many workers hold. Raises QueueUnreachable."""
        try:
            async with self._redis.pipeline(transaction=False) as pipeline:
                pipeline.llen(QUEUE)
                pipeline.hlen(UNACKED)
                listed, held = await pipeline.execute()
        except (RedisError, OSError, TimeoutError) as failure:
            raise QueueUnreachable from failure
        return int(listed), int(held)

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()
