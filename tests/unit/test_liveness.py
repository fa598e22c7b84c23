"""A worker that looks alive and takes nothing: when it is stuck, and when it is not."""

from collections.abc import Callable, Iterator

import pytest
import redis as blocking

from devstack.ports import free_port
from devstack.valkey import Valkey
from worker.liveness import Watchdog

STUCK = 60.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    with Valkey(tmp_path_factory.mktemp("valkey")) as running:
        yield running


class Worker:
    """What the watchdog looks at."""

    def __init__(self, url: str) -> None:
        self.now = 1000.0
        self.full = False
        self.loop_answers = True
        self.redis = blocking.Redis.from_url(url, socket_connect_timeout=1)
        self.watchdog = Watchdog(
            self.redis,
            stuck_seconds=STUCK,
            is_full=lambda: self.full,
            ask_loop=self._ask,
            on_stuck=lambda _reason: None,
            monotonic=lambda: self.now,
        )

    def _ask(self, answer: Callable[[], None]) -> None:
        if self.loop_answers:
            answer()

    def look_after(self, seconds: float) -> str | None:
        """Look every second for so long; the last answer."""
        for _ in range(int(seconds)):
            self.now += 1
            self.watchdog.look()
        return self.watchdog.look()


@pytest.fixture
def worker(server: Valkey) -> Iterator[Worker]:
    looked_at = Worker(server.url)
    looked_at.redis.flushall()
    looked_at.redis.lpush("celery", "a job")
    yield looked_at
    looked_at.redis.close()


def test_a_worker_with_room_that_takes_nothing_for_a_minute_is_stuck(worker: Worker) -> None:
    assert worker.look_after(0) is None
    assert worker.look_after(STUCK - 1) is None
    assert worker.look_after(1) == "jobs wait and none is taken"


def test_a_job_that_was_taken_is_progress(worker: Worker) -> None:
    worker.look_after(0)
    worker.look_after(STUCK - 1)
    worker.watchdog.picked_up()
    assert worker.look_after(1) is None
    assert worker.look_after(STUCK) == "jobs wait and none is taken"


def test_a_worker_that_was_held_still_itself_is_given_time(worker: Worker) -> None:
    worker.look_after(STUCK - 1)
    worker.now += 10 * STUCK
    assert worker.watchdog.look() is None
    assert worker.look_after(STUCK) == "jobs wait and none is taken"


def test_nothing_to_take_or_no_room_is_no_reason(worker: Worker) -> None:
    worker.look_after(0)
    worker.full = True
    assert worker.look_after(STUCK) is None
    worker.full = False
    worker.redis.delete("celery")
    assert worker.look_after(STUCK) is None
    assert worker.look_after(STUCK) is None


def test_a_redis_that_is_away_restarts_nobody() -> None:
    worker = Worker(f"redis://127.0.0.1:{free_port()}/0")
    assert [worker.look_after(STUCK) for _ in range(3)] == [None, None, None]


def test_an_event_loop_that_stands_still_is_stuck_though_no_job_waits(worker: Worker) -> None:
    worker.redis.delete("celery")
    worker.look_after(0)
    worker.loop_answers = False
    assert worker.look_after(STUCK - 1) is None
    assert worker.look_after(1) == "its event loop stands still"
