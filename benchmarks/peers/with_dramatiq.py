"""Dramatiq: `dramatiq benchmarks.peers.with_dramatiq`; run as a program it queues messages (`NUMBER FIRST_TICKET`)."""

import sys

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from benchmarks.peers.work import Given, blocking

dramatiq.set_broker(RedisBroker(url=Given.read().broker))


@dramatiq.actor(actor_name="enhance")
def enhance(ticket_id: str) -> None:
    """All of a job."""
    blocking().enhance(ticket_id)


if __name__ == "__main__":
    number, first = map(int, sys.argv[1:])
    for ticket in range(first, first + number):
        enhance.send(str(ticket))
