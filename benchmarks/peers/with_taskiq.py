"""Taskiq: `taskiq worker benchmarks.peers.with_taskiq:broker`; as a program it queues tasks (`NUMBER FIRST_TICKET`)."""

import asyncio
import sys

from taskiq_redis import RedisStreamBroker

from benchmarks.peers.work import Given, coroutines

# The one of its brokers that acknowledges, which its documentation recommends.
broker = RedisStreamBroker(url=Given.read().broker)


@broker.task(task_name="enhance")
async def enhance(ticket_id: str) -> None:
    """All of a job."""
    await coroutines().enhance(ticket_id)


async def _queue(number: int, first: int) -> None:
    await broker.startup()
    for ticket in range(first, first + number):
        await enhance.kiq(str(ticket))
    await broker.shutdown()


if __name__ == "__main__":
    asyncio.run(_queue(*map(int, sys.argv[1:])))
