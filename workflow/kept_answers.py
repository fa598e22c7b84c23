"""Answers of GPT-4 that could not be committed, kept in Redis until the next attempt.

Postgres was away for longer than a lease, or the worker had to stop: the answer is paid for, and the row can't take it.
And texts of unusable answers, whose repair could not be had at once; and how far a look for a note has come.
"""

import json
from contextlib import suppress
from dataclasses import asdict
from typing import Any
from uuid import UUID

from redis.asyncio import Redis
from redis.exceptions import RedisError

from workflow.ports import UnfinishedLook

ANSWER, UNUSABLE, LOOK = "answer:", "unusable:", "look:"
"""How the keys begin; the job's id follows."""
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
        """Return the kept answer and its model, or None."""
        try:
            stored = await self._redis.get(_key(job_id))
            if stored is None:
                return None
            answer, model = json.loads(stored)
        except _FAILURES:
            return None
        return answer, str(model)

    async def put_unusable(self, job_id: UUID, text: str) -> None:
        """Keep a text to be repaired; without Redis it is lost, and GPT-4 is asked for another one."""
        with suppress(*_FAILURES):
            await self._redis.set(_unusable_key(job_id), text, ex=self._seconds)

    async def take_unusable(self, job_id: UUID) -> str | None:
        """Return the kept text, or None."""
        try:
            stored = await self._redis.get(_unusable_key(job_id))
        except _FAILURES:
            return None
        return None if stored is None else str(stored)

    async def drop_unusable(self, job_id: UUID) -> None:
        """Forget the text."""
        with suppress(*_FAILURES):
            await self._redis.delete(_unusable_key(job_id))

    async def put_look(self, job_id: UUID, look: UnfinishedLook) -> None:
        """Keep how far a look has come; without Redis the next attempt begins it anew."""
        with suppress(*_FAILURES):
            await self._redis.set(f"{LOOK}{job_id}", json.dumps(asdict(look)), ex=self._seconds)

    async def take_look(self, job_id: UUID) -> UnfinishedLook | None:
        """Return how far a look has come, or None."""
        try:
            stored = await self._redis.get(f"{LOOK}{job_id}")
            return None if stored is None else UnfinishedLook(**json.loads(stored))
        except _FAILURES:
            return None

    async def drop_look(self, job_id: UUID) -> None:
        """Forget how far a look has come."""
        with suppress(*_FAILURES):
            await self._redis.delete(f"{LOOK}{job_id}")

    async def drop(self, job_id: UUID) -> None:
        """Forget all that is kept of a job."""
        with suppress(*_FAILURES):
            await self._redis.delete(_key(job_id), _unusable_key(job_id), f"{LOOK}{job_id}")


def _unusable_key(job_id: UUID) -> str:
    return f"{UNUSABLE}{job_id}"


def _key(job_id: UUID) -> str:
    return f"{ANSWER}{job_id}"
