"""Questions over Redis: the console has no way out to desks and models, and has housekeeping look, which has.

A question is a short JSON text in the list `housekeeping:questions`, with ids in it alone: no secret, no text of a
ticket. Who asks waits for the answer at a key of the question's own; who takes a question too late drops it. Moments
are by the clock of Redis, which both know.
"""

import asyncio
from dataclasses import dataclass
from typing import Annotated, Literal
from uuid import UUID, uuid4

from pydantic import StringConstraints, TypeAdapter, ValidationError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from dispatch.queue import QueueUnreachable, open_redis

QUESTIONS = "housekeeping:questions"
"""The list."""
ANSWER = "housekeeping:answer:"
"""How the key of an answer begins; the question's id follows."""
ASK_SECONDS = 2.0
"""How long an answer is waited for."""
_MOST_WAITING = 32
_MOST_ASKING = 16
_KEPT_SECONDS = 10
_TAKE_SECONDS = 1.0
# For the answer that comes at the last moment.
_ON_THE_WAY_SECONDS = 0.1

Kind = Literal["desk", "model"]


@dataclass(frozen=True, slots=True)
class LookQuestion:
    """What is to be looked at, for a tenant; `about` is JSON, and says more. Dropped after `until` (Unix seconds)."""

    id: UUID
    kind: Kind
    tenant_id: Annotated[str, StringConstraints(pattern="^[a-z0-9-]{1,63}$")]
    about: Annotated[str, StringConstraints(max_length=1000)]
    until: float


_QUESTION = TypeAdapter(LookQuestion)


class NotAnswered(Exception):
    """No answer came; the text says why, in our own words."""


class LookAsker:
    """The end of who asks; `close()` it."""

    def __init__(self, redis_url: str) -> None:
        self._redis = open_redis(redis_url, seconds=ASK_SECONDS + 1)
        self._places = asyncio.Semaphore(_MOST_ASKING)

    async def ask(self, kind: Kind, tenant_id: str, about: str = "") -> str:
        """Return the answer, which is JSON. Raises NotAnswered, after two seconds at the latest."""
        if self._places.locked():
            raise NotAnswered("too many ask housekeeping just now")
        try:
            async with self._places, asyncio.timeout(ASK_SECONDS):
                answer = await self._ask(kind, tenant_id, about)
        except TimeoutError:
            answer = None
        except (RedisError, OSError) as failure:
            raise NotAnswered("Redis does not answer") from failure
        if answer is None:
            raise NotAnswered(f"housekeeping did not answer within {ASK_SECONDS:g} s")
        return answer

    async def _ask(self, kind: Kind, tenant_id: str, about: str) -> str | None:
        time = asyncio.get_running_loop().time
        last_moment = time() + ASK_SECONDS - _ON_THE_WAY_SECONDS
        now = await _now(self._redis)
        # To connect may have taken its time.
        wait = last_moment - time()
        if wait <= 0:
            return None
        question = LookQuestion(uuid4(), kind, tenant_id, about, now + wait)
        async with self._redis.pipeline() as pipeline:
            pipeline.rpush(QUESTIONS, _QUESTION.dump_json(question).decode())
            # The newest: those who asked before have waited for longest, and are gone first.
            pipeline.ltrim(QUESTIONS, -_MOST_WAITING, -1)
            pipeline.expire(QUESTIONS, _KEPT_SECONDS)
            await pipeline.execute()
        found = await self._redis.blpop([f"{ANSWER}{question.id}"], timeout=wait)
        return None if found is None else str(found[1])

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()


class LookQuestions:
    """The end of who answers, over a client that waits for over a second."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def take(self) -> LookQuestion | None:
        """Take the oldest question, waiting a second for one; None without one, or if it is too late, or none of ours.

        Raises QueueUnreachable.
        """
        try:
            # Not as workers take their messages: who waits with BRPOP is counted as one of them (`queue_looks`).
            found = await self._redis.blpop([QUESTIONS], timeout=_TAKE_SECONDS)
            if found is None:
                return None
            question = _QUESTION.validate_json(found[1])
            return question if await _now(self._redis) < question.until else None
        except ValidationError:
            return None
        except (RedisError, OSError, TimeoutError) as failure:
            raise QueueUnreachable from failure

    async def answer(self, question: LookQuestion, answer: str) -> None:
        """Answer it; it is kept for seconds, should nobody wait any more. Raises QueueUnreachable."""
        key = f"{ANSWER}{question.id}"
        try:
            async with self._redis.pipeline() as pipeline:
                pipeline.rpush(key, answer)
                pipeline.expire(key, _KEPT_SECONDS)
                await pipeline.execute()
        except (RedisError, OSError, TimeoutError) as failure:
            raise QueueUnreachable from failure


async def _now(redis: Redis) -> float:
    seconds, microseconds = await redis.time()
    return float(seconds) + float(microseconds) / 1_000_000
