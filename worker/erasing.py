"""Erasing in Redis: what is kept there of jobs, and where all of a tenant goes, what has its name."""

import re
from collections.abc import Iterator, Sequence
from uuid import UUID

from redis.asyncio import Redis
from redis.exceptions import RedisError

from integrations import desk_tokens, rate
from storage import erasing
from storage.erasing import Which
from storage.session import Database
from worker.answers import ANSWER, UNUSABLE
from worker.inbox import DELIVERY
from worker.queue import QueueUnreachable


async def erase_keys(redis: Redis, database: Database, which: Which, ticket_ids: Sequence[str]) -> int:
    """Erase the answers and unusable texts of these tickets' jobs, and those that name one; how many keys went.

    Where all of a tenant goes, all of its keys; before the rows go, which tell whose an answer is. Raises
    QueueUnreachable, or one of DATABASE_FAILURES.
    """
    try:
        doomed = await _kept_of_jobs(redis, database, which, ticket_ids)
        if which.all:
            doomed += rate.keys_of(which.tenant_id)
            for begin in (desk_tokens.KEY, DELIVERY):
                doomed += await _keys(redis, f"{begin}{which.tenant_id}:*")
        return int(await redis.delete(*doomed)) if doomed else 0
    except (RedisError, OSError, TimeoutError) as failure:
        raise QueueUnreachable from failure


async def _keys(redis: Redis, pattern: str) -> list[str]:
    return [str(key) async for key in redis.scan_iter(match=pattern, count=1000)]


async def _kept_of_jobs(redis: Redis, database: Database, which: Which, ticket_ids: Sequence[str]) -> list[str]:
    kept = {key: job_id for begin in (ANSWER, UNUSABLE) for key, job_id in _jobs(await _keys(redis, f"{begin}*"))}
    ours = await erasing.jobs_among(database, which.tenant_id, list(set(kept.values())))
    doomed: list[str] = []
    for key, job_id in kept.items():
        if job_id in ours:
            of_them = which.all or ours[job_id] in ticket_ids
            if of_them or _names_one(str(await redis.get(key) or ""), ticket_ids):
                doomed.append(key)
    return doomed


def _jobs(keys: Sequence[str]) -> Iterator[tuple[str, UUID]]:
    for key in keys:
        try:
            yield key, UUID(key.partition(":")[2])
        except ValueError:
            continue  # not one of ours


def _names_one(text: str, ticket_ids: Sequence[str]) -> bool:
    """Whether a text has one of the ids, as a word: rather one answer too many, which can be had again."""
    return any(re.search(rf"(?<!\w){re.escape(ticket_id)}(?!\w)", text) for ticket_id in ticket_ids)
