"""Answers of GPT-4 that could not be committed, kept in Redis until the next attempt.

Postgres was away for longer than a lease, or the worker had to stop: the answer is paid for, and the row can't take it.
"""

import json
from typing import Any
from uuid import UUID

from redis.asyncio import Redis
from redis.exceptions import RedisError

_FAILURES = (RedisError, OSError, TimeoutError, ValueError, TypeError)


class AnswersInRedis:
    """One key a job, gone after `seconds`: not before the longest life of a job, or GPT-4 would be paid again."""

    def __init__(self, redis: Redis, seconds: int) -> None:
        self._redis = redis
        self._seconds = seconds

    async def put(self, job_id: UUID, answer: dict[str, Any], model: str) -> None:
        """Keep an answer; without Redis it is lost, and GPT-4 is asked again."""
        try:
            await self._redis.set(_key(job_id), json.dumps([answer, model]), ex=self._seconds)
        except _FAILURES:
            return

    async def take(self, job_id: UUID) -> tuple[dict[str, Any], str] | None:
        """The kept answer and its model, or None."""
        try:
            stored = await self._redis.get(_key(job_id))
            if stored is None:
                return None
            answer, model = json.loads(stored)
        except _FAILURES:
            return None
        return answer, str(model)


def _key(job_id: UUID) -> str:
    return f"answer:{job_id}"
