"""What an attempt keeps in Redis for the next one, where it could not be written into the job's row.

Postgres was away for longer than a lease, or the worker had to stop: an answer is paid for by then.
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
    """One key for each thing, gone after `seconds`: not before the longest life of a job, or GPT-4 would be paid again.

    Without Redis a thing is lost: GPT-4 is asked again, and a look begins anew.
    """

    def __init__(self, redis: Redis, seconds: int) -> None:
        self._redis = redis
        self._seconds = seconds

    async def put(self, what: Kept, job_id: UUID, value: Any) -> None:
        """Keep it, if Redis takes it."""
        with suppress(*_FAILURES):
            stored = json.dumps(value, ensure_ascii=False, default=_as_dict)
            await self._redis.set(_key(what, job_id), stored, ex=self._seconds)

    async def get(self, what: Kept, job_id: UUID) -> Any:
        """Return it; None if there is none, or what is there is something else."""
        try:
            stored = await self._redis.get(_key(what, job_id))
            return None if stored is None else _READ[what](json.loads(stored))
        except _FAILURES:
            return None

    async def drop(self, job_id: UUID, *what: Kept) -> None:
        """Delete it; all that is kept of the job where nothing is named."""
        with suppress(*_FAILURES):
            await self._redis.delete(*(_key(each, job_id) for each in what or Kept))


def _as_dict(value: Any) -> dict[str, Any]:
    """Return one of the values that are kept, as JSON has it. Raises TypeError for what is none."""
    return asdict(value)


def _key(what: Kept, job_id: UUID) -> str:
    return f"{what}:{job_id}"
