"""Erasure in Redis: data of jobs, and all keys of a tenant that leaves."""

import re
from collections.abc import Iterator, Sequence
from uuid import UUID

from redis.asyncio import Redis
from redis.exceptions import RedisError

from dispatch.inbox import DELIVERY
from dispatch.queue import QueueUnreachable
from integrations import rate_limit
from integrations.servicedesk import auth as desk_tokens
from storage import tombstones
from storage.erasable import Which, jobs_among
from storage.paging import split
from storage.session import Database
from workflow.ports import Kept

_NUMBER = re.compile(r"\d+")


async def erase_keys(redis: Redis, database: Database, which: Which) -> int:
    """Erase Redis data of forgotten tickets; return the number of keys.

    Answers and unusable texts go if their ticket has a tombstone, by this erasure or an earlier one, or if they name
    such a ticket. For a whole tenant all its keys go: call it before the rows are deleted, which map an answer to its
    tenant. Raises QueueUnreachable, or one of DATABASE_FAILURES.
    """
    try:
        doomed = await _kept_of_jobs(redis, database, which)
        if which.all:
            doomed += rate_limit.keys_of(which.tenant_id)
            for begin in (desk_tokens.KEY, DELIVERY):
                doomed += await _keys(redis, f"{begin}{which.tenant_id}:*")
        return sum([int(await redis.delete(*keys)) for keys in split(doomed)])
    except (RedisError, OSError, TimeoutError) as failure:
        raise QueueUnreachable from failure


async def _keys(redis: Redis, pattern: str) -> list[str]:
    return [str(key) async for key in redis.scan_iter(match=pattern, count=1000)]


async def _kept_of_jobs(redis: Redis, database: Database, which: Which) -> list[str]:
    doomed: list[str] = []
    kept = [pair for what in Kept for pair in _jobs(await _keys(redis, f"{what}:*"))]
    for some in split(kept):
        ours = await jobs_among(database, which.tenant_id, [job_id for _, job_id in some])
        for key, job_id in some:
            if job_id in ours and (which.all or await _is_of_forgotten(redis, database, which, key, ours[job_id])):
                doomed.append(key)
    return doomed


async def _is_of_forgotten(
    redis: Redis, database: Database, which: Which, key: str, of_its_ticket: Sequence[str]
) -> bool:
    """Return True if the ticket, or any number in the stored text, is forgotten.

    A number may mean something else: a surplus answer is erased, since it can be requested again.
    """
    numbers = set(_NUMBER.findall(str(await redis.get(key) or "")))
    return bool(await tombstones.forgotten_among(database, which.tenant_id, {*of_its_ticket, *numbers}))


def _jobs(keys: Sequence[str]) -> Iterator[tuple[str, UUID]]:
    for key in keys:
        try:
            yield key, UUID(key.partition(":")[2])
        except ValueError:
            continue  # not one of ours
