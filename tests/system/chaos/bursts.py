"""Bursts of webhooks during which a store or the API dies."""

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
    """The rows are not committed yet."""
    with _rows_under_way(stage):
        stage.system.postgres.process.kill()
    stage.system.postgres.restart()


def redis_dies(stage: Stage) -> None:
    """The rows are committed, and their messages are under way."""
    with _messages_under_way(stage):
        stage.system.redis.process.kill()
    stage.system.redis.start()


def api_dies(stage: Stage) -> None:
    """Before the commit, and then before the messages."""
    with _rows_under_way(stage):
        stage.kill(stage.system.api)
    with _messages_under_way(stage):
        stage.kill(stage.system.api)


@contextmanager
def _rows_under_way(stage: Stage) -> Iterator[None]:
    """A batch waits for a locked table until the end of the block or of Postgres."""
    with closing(stage.world.admin()) as connection:
        connection.execute("LOCK TABLE delivery_keys")
        stage.burst(_COUNT)
        _await(stage, lambda: _count(stage, _IN_A_BATCH) > 0, "no batch was under way")
        yield


@contextmanager
def _messages_under_way(stage: Stage) -> Iterator[None]:
    """The rows are committed, and Redis is suspended before their messages."""
    stage.system.redis.pause()
    try:
        tickets = stage.burst(_COUNT)
        recorded = f"SELECT count(*) FROM jobs WHERE ticket_id IN ({', '.join(map(repr, tickets))})"  # noqa: S608 -- ours
        _await(stage, lambda: _count(stage, recorded) > 1, "no batch was recorded")
        yield
    finally:
        stage.system.redis.resume()


def _count(stage: Stage, question: str) -> int:
    # Only a superuser sees the statements of other sessions.
    with psycopg.connect(stage.system.postgres.superuser_url) as connection:
        ((count,),) = connection.execute(question.encode()).fetchall()
    return int(count)


def _await(stage: Stage, come: Callable[[], bool], otherwise: str) -> None:
    give_up_at = time.monotonic() + _STEP_SECONDS
    while not come() and time.monotonic() < give_up_at:
        time.sleep(_POLL_SECONDS)
    stage.expect(time.monotonic() < give_up_at, otherwise)
