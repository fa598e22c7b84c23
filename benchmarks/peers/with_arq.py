"""arq: `arq benchmarks.peers.with_arq.ArqWorker`; run as a program it queues jobs (`NUMBER FIRST_TICKET`)."""

import asyncio
import sys
from typing import Any

from arq import create_pool
from arq.connections import RedisSettings

from benchmarks.peers.work import PLACES, Given, coroutines

_REDIS = RedisSettings.from_dsn(Given.read().broker)


async def enhance(_context: dict[str, Any], ticket_id: str) -> None:
    """All of a job."""
    await coroutines().enhance(ticket_id)


class ArqWorker:
    """What arq's command reads."""

    functions = (enhance,)
    redis_settings = _REDIS
    max_jobs = PLACES
    keep_result = 0


async def _queue(number: int, first: int) -> None:
    pool = await create_pool(_REDIS)
    for ticket in range(first, first + number):
        await pool.enqueue_job("enhance", str(ticket))
    await pool.aclose()


if __name__ == "__main__":
    asyncio.run(_queue(*map(int, sys.argv[1:])))
