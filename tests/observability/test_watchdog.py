"""The watchdog: stuck processes, and idle ones that are not stuck."""

from collections.abc import Callable, Iterator

import pytest
import redis as blocking

from devstack.free_ports import free_port
from observability.health import Each, Progress, Rounds, Watchdog
from tests.kit.clock import Clock
from worker.consumer import JobsTaken

STUCK = 60.0


class Watched:
    """A watched process's state."""

    def __init__(self, progress: Progress, clock: Clock) -> None:
        self.clock = clock
        self.loop_answers = True
        self.watchdog = Watchdog(
            progress, stuck_seconds=STUCK, ask_loop=self._ask, on_stuck=lambda _reason: None, monotonic=clock
        )

    def _ask(self, answer: Callable[[], None]) -> None:
        if self.loop_answers:
            answer()

    def look_after(self, seconds: float) -> str | None:
        """Check every second for this long; return the last result."""
        for _ in range(int(seconds)):
            self.clock.now += 1
            self.watchdog.look()
        return self.watchdog.look()


class Worker(Watched):
    def __init__(self, url: str) -> None:
        self.full = False
        self.redis = blocking.Redis.from_url(url, socket_connect_timeout=1)
        self.taken = JobsTaken(self.redis, stuck_seconds=STUCK, is_full=lambda: self.full)
        super().__init__(self.taken, Clock())


class Housekeeping(Watched):
    def __init__(self) -> None:
        clock = Clock()
        self.rounds = Rounds(stuck_seconds=STUCK, monotonic=clock)
        super().__init__(self.rounds, clock)


@pytest.fixture
def worker(redis_url: str) -> Iterator[Worker]:
    looked_at = Worker(redis_url)
    looked_at.redis.flushdb()
    looked_at.redis.lpush("celery", "a job")
    yield looked_at
    looked_at.redis.close()


def test_a_worker_with_room_that_takes_nothing_for_a_minute_is_stuck(worker: Worker) -> None:
    assert worker.look_after(0) is None
    assert worker.look_after(STUCK - 1) is None
    worker.taken.picked_up()
    assert worker.look_after(1) is None
    assert worker.look_after(STUCK - 1) is None
    assert worker.look_after(1) == "jobs wait and none is taken"


def test_a_worker_that_was_held_still_itself_is_given_time(worker: Worker) -> None:
    worker.look_after(STUCK - 1)
    worker.clock.now += 10 * STUCK
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


def test_a_round_that_takes_longer_than_it_may_is_stuck_and_a_next_step_is_progress() -> None:
    housekeeping = Housekeeping()
    housekeeping.rounds.next_within(300)
    assert housekeeping.look_after(300 + STUCK - 1) is None
    housekeeping.rounds.next_within(0)
    assert housekeeping.look_after(STUCK - 1) is None
    assert housekeeping.look_after(1) == "its rounds stand still"


def test_who_does_not_lead_may_wait_for_ever() -> None:
    housekeeping = Housekeeping()
    assert housekeeping.look_after(10 * STUCK) is None
    housekeeping.rounds.next_within(0)
    housekeeping.rounds.may_wait()
    assert housekeeping.look_after(10 * STUCK) is None


def test_rounds_that_were_held_still_with_their_process_are_given_time() -> None:
    housekeeping = Housekeeping()
    housekeeping.rounds.next_within(300)
    housekeeping.clock.now += 10_000
    assert housekeeping.look_after(STUCK) is None
    assert housekeeping.look_after(1) == "its rounds stand still"
    housekeeping.rounds.next_within(300)
    housekeeping.clock.now += STUCK
    # Not less than the step's own limit.
    assert housekeeping.look_after(240 + STUCK - 1) is None
    assert housekeeping.look_after(1) == "its rounds stand still"


def test_who_stops_leading_while_the_watchdog_forgives_may_wait_for_ever() -> None:
    """Two threads: the watchdog must not overwrite the work's state."""

    class Late(float):
        """A time that is compared just before the work reports that it may wait."""

        def __add__(self, other: float) -> float:
            housekeeping.rounds.may_wait()
            return float(self) + other

    housekeeping = Housekeeping()
    housekeeping.rounds.next_within(300)
    housekeeping.rounds.start_over(Late(10_000))
    housekeeping.clock.now += 10_000
    assert housekeeping.look_after(10 * STUCK) is None


@pytest.mark.parametrize("stuck", [0, 1])
def test_of_several_pieces_of_work_each_is_watched(stuck: int) -> None:
    clock = Clock()
    both = [Rounds(stuck_seconds=STUCK, monotonic=clock) for _ in range(2)]
    process = Watched(Each(*both), clock)
    both[stuck].next_within(300)
    both[not stuck].next_within(3000)
    assert process.look_after(300 + STUCK - 1) is None
    assert process.look_after(1) == "its rounds stand still"
    both[stuck].may_wait()
    assert process.look_after(STUCK) is None
    both[stuck].next_within(300)
    clock.now += 10_000
    assert process.look_after(STUCK) is None
    assert process.look_after(1) == "its rounds stand still"
