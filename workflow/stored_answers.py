"""Results that an attempt stores in Redis for the next one.

It does so if Postgres is down or the worker stops.
"""

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any
from uuid import UUID

from redis.asyncio import Redis
from redis.exceptions import RedisError

from integrations.values import Usage
from privacy.audit import ModelExchange


@dataclass(frozen=True, slots=True)
class UnfinishedCheck:
    """A search for an earlier attempt's note, held back between two desk calls."""

    posted_at: str
    """The time of that posting: another posting needs another search."""
    listed_at: str
    """The time at which the desk listed the notes; both in ISO 8601, by the database's clock."""
    unread: list[str]
    """Ids of the unread notes."""


@dataclass(frozen=True, slots=True)
class UnusableAnswer:
    """An answer to repair: its text, and its placeholders (`privacy.redaction`)."""

    text: str
    placeholders: dict[str, str]
    sources: list[dict[str, str]] = field(default_factory=list)
    """The sources of its question, as in an audit record; empty without records."""


class StoredKind(StrEnum):
    """The kinds of values stored for a job's next attempt."""

    ANSWER = "answer"
    """A paid answer that could not be committed, its model's name, and its Usage."""
    UNUSABLE = "masked-unusable"
    """An UnusableAnswer; its repair failed temporarily."""
    RECORD = "record"
    """A list of ModelExchange: audit records that a stopping worker could not write."""
    LOOK = "look"
    """An UnfinishedCheck."""


_FAILURES = (RedisError, OSError, TimeoutError, ValueError, TypeError, LookupError)
_READ: dict[StoredKind, Callable[[Any], Any]] = {
    # The last release stored no usage.
    StoredKind.ANSWER: lambda stored: (dict(stored[0]), str(stored[1]), Usage(**(stored[2] if stored[2:] else {}))),
    StoredKind.UNUSABLE: lambda stored: UnusableAnswer(**stored),
    StoredKind.RECORD: lambda stored: [ModelExchange(**each) for each in stored],
    StoredKind.LOOK: lambda stored: UnfinishedCheck(**stored),
}


class StoredAnswers:
    """Values under one key each, which expire after `seconds`. No method raises.

    `seconds` covers the longest life of a job, or GPT-4 would be paid again. Without Redis a value is lost: GPT-4 is
    called again, and a search for a note restarts.
    """

    def __init__(self, redis: Redis, seconds: int) -> None:
        self._redis = redis
        self._seconds = seconds

    async def put(self, kind: StoredKind, job_id: UUID, value: Any) -> None:
        """Store a value for the next attempt, in place of an earlier one."""
        with suppress(*_FAILURES):
            stored = json.dumps(value, ensure_ascii=False, default=asdict)
            await self._redis.set(f"{kind}:{job_id}", stored, ex=self._seconds)

    async def get(self, kind: StoredKind, job_id: UUID) -> Any:
        """Return the value of a kind; None if missing or unreadable."""
        try:
            stored = await self._redis.get(f"{kind}:{job_id}")
            return None if stored is None else _READ[kind](json.loads(stored))
        except _FAILURES:
            return None

    async def drop(self, job_id: UUID, *kind: StoredKind) -> None:
        """Delete the values of these kinds, or of all."""
        with suppress(*_FAILURES):
            await self._redis.delete(*(f"{each}:{job_id}" for each in kind or StoredKind))
