"""The queue of jobs: the Redis list `celery`, whose length support reads.

All that the API may import from here, with the inbox beside it. A message holds the job's id and its trace context,
nothing else; the Celery task id is the job id. The task is sent by name, so that publishing loads nothing of the
workflow.
"""

import asyncio
import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

from celery import Celery
from kombu import Producer
from kombu.exceptions import KombuError, OperationalError
from opentelemetry.trace import SpanKind
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from observability import tracing

QUEUE = "celery"
TASK = "ai_agents.enhance"
UNACKED = "unacked"
"""Celery's hash of messages that workers hold: with late acknowledgement, the jobs that run."""

# The same on both ends: a sender with other priority steps would push to lists that nobody reads.
TRANSPORT = {"priority_steps": [0]}
_PUBLISH_SECONDS = 1.0
_THREADS = 8


class QueueUnreachable(Exception):
    """Redis did not take a message, or did not answer, within a second. It may have taken it all the same."""


def open_redis(url: str, *, seconds: float = _PUBLISH_SECONDS) -> Redis:
    """A client that gives up after `seconds` instead of trying ten times.

    A command that finds its connection closed is sent again at once, once, over a fresh one: the server was restarted
    while the connection lay idle, and is there. One that gets no answer is not.
    """
    client: Redis = Redis.from_url(
        url,
        socket_timeout=seconds,
        socket_connect_timeout=min(seconds, 0.5),
        retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
        decode_responses=True,
        health_check_interval=15,
    )
    return client


def _ids(stored: Iterable[str]) -> set[str]:
    """The task ids of messages. Celery's hash holds `[message, exchange, routing key]` for each."""
    ids: set[str] = set()
    for text in stored:
        try:
            message = json.loads(text)
            ids.add(str((message[0] if isinstance(message, list) else message)["headers"]["id"]))
        except (ValueError, KeyError, IndexError, TypeError):
            continue  # not one of ours: no reason to stop looking at the others
    return ids


class JobQueue:
    """The sending end."""

    def __init__(self, redis_url: str) -> None:
        self._celery = Celery("ai-agents", broker=redis_url, set_as_current=False)
        self._celery.conf.update(
            task_publish_retry=False,
            task_ignore_result=True,
            task_default_queue=QUEUE,
            broker_pool_limit=_THREADS,
            broker_transport_options={
                **TRANSPORT,
                "socket_timeout": _PUBLISH_SECONDS,
                "socket_connect_timeout": 0.5,
                # Without these kombu goes on connecting long after the budget.
                "max_retries": 0,
                "interval_start": 0,
                "interval_step": 0,
                "interval_max": 0,
            },
        )
        self._redis = open_redis(redis_url)
        # Sending blocks, so it has threads of its own: as many as connections.
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="publish")

    async def publish(self, job_id: UUID) -> None:
        """Publish the job's message, under a span of its own. Raises QueueUnreachable."""
        attributes = {
            "messaging.system": "celery",
            "messaging.operation.name": "send",
            "messaging.operation.type": "send",
            "messaging.destination.name": QUEUE,
            "messaging.message.id": str(job_id),
        }
        with tracing.span("send celery", kind=SpanKind.PRODUCER, attributes=attributes):
            header = tracing.traceparent()
            try:
                # For the whole of it: the wait for a free thread, connecting, and the answer.
                async with asyncio.timeout(_PUBLISH_SECONDS):
                    await asyncio.get_running_loop().run_in_executor(self._threads, self._send, job_id, header)
            except (KombuError, OperationalError, RedisError, OSError, TimeoutError) as failure:
                raise QueueUnreachable from failure

    def _send(self, job_id: UUID, traceparent: str) -> None:
        # The same producer both times: another one's connection may be as old as the one that was found closed.
        with self._celery.producer_or_acquire() as producer:
            try:
                self._send_by(producer, job_id, traceparent)
            except OperationalError as failure:
                if not isinstance(failure.__cause__, RedisConnectionError):
                    raise
                self._send_by(producer, job_id, traceparent)

    def _send_by(self, producer: Producer, job_id: UUID, traceparent: str) -> None:
        self._celery.send_task(
            TASK,
            args=[str(job_id)],
            task_id=str(job_id),
            queue=QUEUE,
            headers={"traceparent": traceparent},
            argsrepr="",
            kwargsrepr="",
            producer=producer,
        )

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

    async def messages(self, most: int) -> tuple[set[str], set[str]]:
        """Ids of the jobs whose message waits in the list (its newest `most`), and of those that a worker holds.

        Raises QueueUnreachable.
        """
        try:
            async with self._redis.pipeline(transaction=False) as pipeline:
                pipeline.lrange(QUEUE, 0, most - 1)
                pipeline.hvals(UNACKED)
                waiting, held = await pipeline.execute()
        except (RedisError, OSError, TimeoutError) as failure:
            raise QueueUnreachable from failure
        return _ids(waiting), _ids(held)

    async def close(self) -> None:
        """Close the connections."""
        self._threads.shutdown(wait=False)
        await self._redis.aclose()
        self._celery.close()
