"""Celery: `celery -A benchmarks.peers.with_celery worker`; run as a program it queues tasks (`NUMBER FIRST_TICKET`)."""

import sys

from celery import Celery

from benchmarks.peers.work import Given, blocking

app = Celery("peer", broker=Given.read().broker)
app.conf.update(task_ignore_result=True, broker_connection_retry_on_startup=True)


@app.task(name="peer.enhance")
def enhance(ticket_id: str) -> None:
    """All of a job."""
    blocking().enhance(ticket_id)


if __name__ == "__main__":
    number, first = map(int, sys.argv[1:])
    for ticket in range(first, first + number):
        enhance.delay(str(ticket))
