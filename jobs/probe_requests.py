"""Probe requests over Redis to housekeeping, which has the desks' credentials.

A request is a short JSON text in a list, with ids only: no secret, no ticket text. The console waits for the answer at
a key of the request; housekeeping drops expired requests. Times are by the clock of Redis.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Literal, TypeVar
from uuid import UUID, uuid4

from pydantic import StringConstraints, TypeAdapter, ValidationError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from integrations.probes import PROBE_TARGET, DeskProbe, ModelProbe, ProbeTarget
from jobs.queue import open_redis, reaching_redis

QUESTIONS = "housekeeping:questions"
ANSWER = "housekeeping:answer:"  # prefix of an answer's key, before the request's id
_REQUEST_SECONDS = 2.0
_MAX_WAITING = 32
_KEPT_SECONDS = 10
_TAKE_SECONDS = 1.0
# Less than the caller's limit, so that a late answer still arrives.
_VALID_SECONDS = _REQUEST_SECONDS - 0.1

Kind = Literal["desk", "model"]
Result = TypeVar("Result", DeskProbe, ModelProbe)


@dataclass(frozen=True, slots=True)
class ProbeRequest:
    """A request for a probe; `about` is JSON, `until` is Unix time."""

    id: UUID
    kind: Kind
    tenant_id: Annotated[str, StringConstraints(pattern="^[a-z0-9-]{1,63}$")]
    about: Annotated[str, StringConstraints(max_length=1000)]
    until: float


_REQUEST = TypeAdapter(ProbeRequest)


class NoAnswerError(Exception):
    """No answer arrived; the text has the reason."""


class ProbeClient:
    """Console side, implementing `jobs.diagnosis.facts.Probes`; `close()` it."""

    def __init__(self, redis_url: str) -> None:
        self._redis = open_redis(redis_url, seconds=_REQUEST_SECONDS + 1)

    async def request(self, kind: Kind, tenant_id: str, about: str = "") -> str:
        """Return the answer (JSON). Raises NoAnswerError after at most two seconds."""
        try:
            async with asyncio.timeout(_REQUEST_SECONDS):
                request = ProbeRequest(uuid4(), kind, tenant_id, about, await _now(self._redis) + _VALID_SECONDS)
                async with self._redis.pipeline() as pipeline:
                    pipeline.rpush(QUESTIONS, _REQUEST.dump_json(request).decode())
                    # The newest remain: older callers time out first.
                    pipeline.ltrim(QUESTIONS, -_MAX_WAITING, -1)
                    pipeline.expire(QUESTIONS, _KEPT_SECONDS)
                    await pipeline.execute()
                found = await self._redis.blpop([f"{ANSWER}{request.id}"], timeout=_VALID_SECONDS)
        except TimeoutError:
            found = None
        except (RedisError, OSError) as failure:
            raise NoAnswerError("Redis does not answer") from failure
        if found is None:
            raise NoAnswerError(f"housekeeping did not answer within {_REQUEST_SECONDS:g} s")
        return str(found[1])

    async def desk(self, tenant_id: str | None, sought: ProbeTarget) -> DeskProbe:
        """Return the probe of the tenant's desk; its `failure` has any problem."""
        about = PROBE_TARGET.dump_json(sought, exclude_defaults=True).decode()
        return await self._probe("desk", tenant_id, about, DeskProbe)

    async def model(self, tenant_id: str | None) -> ModelProbe:
        """Return the probe of the tenant's model; its `failure` has any problem."""
        return await self._probe("model", tenant_id, "", ModelProbe)

    async def _probe(self, kind: Kind, tenant_id: str | None, about: str, result: type[Result]) -> Result:
        if tenant_id is None:
            return result(failure="this process does not know the tenant")
        try:
            return TypeAdapter(result).validate_json(await self.request(kind, tenant_id, about))
        except NoAnswerError as failure:
            return result(failure=str(failure))
        except ValidationError:
            return result(failure="housekeeping's answer can't be read: it runs another release")

    async def close(self) -> None:
        """Close the connections to Redis."""
        await self._redis.aclose()


class ProbeRequests:
    """Housekeeping's side, over a client whose timeout is longer than a second."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def take(self) -> ProbeRequest | None:
        """Return the next valid request, None after 1 s. Raises QueueUnavailableError."""
        with reaching_redis(), suppress(ValidationError):
            # Not BRPOP: its blocked clients are counted as workers (`read_queue`).
            found = await self._redis.blpop([QUESTIONS], timeout=_TAKE_SECONDS)
            request = None if found is None else _REQUEST.validate_json(found[1])
            return request if request and await _now(self._redis) < request.until else None
        return None

    async def answer(self, request: ProbeRequest, answer: str) -> None:
        """Send the answer (JSON). Raises QueueUnavailableError."""
        key = f"{ANSWER}{request.id}"
        with reaching_redis():
            async with self._redis.pipeline() as pipeline:
                pipeline.rpush(key, answer)
                pipeline.expire(key, _KEPT_SECONDS)
                await pipeline.execute()


async def _now(redis: Redis) -> float:
    seconds, microseconds = await redis.time()
    return float(seconds) + float(microseconds) / 1_000_000
