"""Many webhooks at once, and something that dies while they are recorded, or queued, together."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import psycopg

from tests.system.chaos.stage import Stage

_COUNT = 24
_STEP_SECONDS = 10.0
_POLL_SECONDS = 0.02
_IN_A_BATCH = (
    "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%accept_jobs%' AND pid <>"
    " pg_backend_pid()"
)


def postgres_dies(stage: Stage) -> None:
    """Its rows are not committed yet."""
    with _rows_under_way(stage):
        stage.system.postgres.process.kill()
    stage.system.postgres.restart()


def redis_dies(stage: Stage) -> None:
    """The rows are there, and their messages under way."""
    with _messages_under_way(stage):
        stage.system.redis.process.kill()
    stage.system.redis.start()


def api_dies(stage: Stage) -> None:
    """In the one place, and then in the other."""
    with _rows_under_way(stage):
        stage.kill(stage.system.api)
    with _messages_under_way(stage):
        stage.kill(stage.system.api)


@contextmanager
def _rows_under_way(stage: Stage) -> Iterator[None]:
    """A batch waits for a table that somebody holds until the end of the block; not longer than Postgres lives."""
    with closing(stage.world.admin()) as connection:
        connection.execute("LOCK TABLE delivery_keys")
        stage.burst(_COUNT)
        _await(stage, lambda: _count(stage, _IN_A_BATCH) > 0, "no batch was under way")
        yield


@contextmanager
def _messages_under_way(stage: Stage) -> Iterator[None]:
    """A batch's rows are there, and Redis is held still, so that none of its messages is."""
    stage.system.redis.pause()
    try:
        tickets = stage.burst(_COUNT)
        recorded = f"SELECT count(*) FROM jobs WHERE ticket_id IN ({', '.join(map(repr, tickets))})"  # noqa: S608 -- ours
        _await(stage, lambda: _count(stage, recorded) > 1, "no batch was recorded")
        yield
    finally:
        stage.system.redis.resume()


def _count(stage: Stage, question: str) -> int:
    # What others ask is shown to a superuser alone.
    with psycopg.connect(stage.system.postgres.superuser_url) as connection:
        ((count,),) = connection.execute(question.encode()).fetchall()
    return int(count)


def _await(stage: Stage, come: Callable[[], bool], otherwise: str) -> None:
    give_up_at = time.monotonic() + _STEP_SECONDS
    while not come() and time.monotonic() < give_up_at:
        time.sleep(_POLL_SECONDS)
    stage.expect(time.monotonic() < give_up_at, otherwise)
