"""Results that an attempt stores in Redis for the next one, without Postgres.

Postgres was down for longer than a lease, or the worker had to stop: an answer is paid for by then.
"""

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from typing import Any
from uuid import UUID

from redis.asyncio import Redis
from redis.exceptions import RedisError

from storage.audit import ModelExchange
from workflow.ports import Kept, UnfinishedLook, UnusableAnswer

_FAILURES = (RedisError, OSError, TimeoutError, ValueError, TypeError, LookupError)
_READ: dict[Kept, Callable[[Any], Any]] = {
    Kept.ANSWER: lambda stored: (dict(stored[0]), str(stored[1])),
    Kept.UNUSABLE: lambda stored: UnusableAnswer(**stored),
    Kept.RECORD: lambda stored: [ModelExchange(**each) for each in stored],
    Kept.LOOK: lambda stored: UnfinishedLook(**stored),
}


class AnswersInRedis:
    """One key for each value, which expires after `seconds`.

    Not before the longest life of a job, or GPT-4 would be paid again. Without Redis a value is lost: GPT-4 is called
    again, and a search for a note restarts.
    """

    def __init__(self, redis: Redis, seconds: int) -> None:
        self._redis = redis
        self._seconds = seconds

    async def put(self, what: Kept, job_id: UUID, value: Any) -> None:
        with suppress(*_FAILURES):
            stored = json.dumps(value, ensure_ascii=False, default=_as_dict)
            await self._redis.set(_key(what, job_id), stored, ex=self._seconds)

    async def get(self, what: Kept, job_id: UUID) -> Any:
        try:
            stored = await self._redis.get(_key(what, job_id))
            return None if stored is None else _READ[what](json.loads(stored))
        except _FAILURES:
            return None

    async def drop(self, job_id: UUID, *what: Kept) -> None:
        with suppress(*_FAILURES):
            await self._redis.delete(*(_key(each, job_id) for each in what or Kept))


def _as_dict(value: Any) -> dict[str, Any]:
    return asdict(value)


def _key(what: Kept, job_id: UUID) -> str:
    return f"{what}:{job_id}"
