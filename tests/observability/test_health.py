"""Readiness and breakers: one call to a silent store; the watchdog of stuck and of idle processes."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
import redis as blocking

from cli.pilot.free_ports import free_port
from jobs.intake import StoreBreaker
from observability import tracing
from observability.health import CombinedProgress, Progress, Readiness, Rounds, Watchdog
from tests.kit.clock import Clock
from worker.consumer import TakenMessages


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    running = asyncio.new_event_loop()
    thread = threading.Thread(target=running.run_forever)
    thread.start()
    yield running
    running.call_soon_threadsafe(running.stop)
    thread.join()
    running.close()


class ProbedStore:
    """A store that answers, fails, or is silent until released."""

    def __init__(self) -> None:
        self.failure: Exception | None = None
        self.speaks = threading.Event()
        self.speaks.set()
        self.asked = 0
        self.untraced: set[bool] = set()

    async def ask(self) -> None:
        self.asked += 1
        self.untraced.add(tracing.is_untraced())
        await asyncio.to_thread(self.speaks.wait)
        if self.failure:
            raise self.failure


@pytest.fixture
def stores() -> dict[str, ProbedStore]:
    return {"database": ProbedStore(), "redis": ProbedStore()}


@pytest.fixture
def readiness(loop: asyncio.AbstractEventLoop, stores: dict[str, ProbedStore]) -> Readiness:
    made = Readiness()
    made.check_with(loop, {name: store.ask for name, store in stores.items()})
    made.start()
    return made


def test_readiness_follows_a_process_from_start_to_end(
    loop: asyncio.AbstractEventLoop, stores: dict[str, ProbedStore]
) -> None:
    readiness = Readiness()
    assert readiness() == (False, {"status": "not ready", "process": "starting"})
    readiness.check_with(loop, {name: store.ask for name, store in stores.items()})
    both = {"database": "ok", "redis": "ok"}
    assert readiness() == (False, {"status": "not ready", "process": "starting", **both})
    has_connection = True
    readiness.start(lambda: has_connection)
    assert readiness() == (True, {"status": "ready", "process": "working", **both})
    assert [store.untraced for store in stores.values()] == [{True}, {True}]
    has_connection = False
    assert readiness() == (False, {"status": "not ready", "process": "reconnecting", **both})
    readiness.stop()
    assert readiness() == (False, {"status": "not ready", "process": "stopping"})


@pytest.mark.parametrize("failure", [OSError(), TimeoutError(), ValueError("of a library")], ids=repr)
def test_a_store_that_fails_is_named(readiness: Readiness, stores: dict[str, ProbedStore], failure: Exception) -> None:
    stores["redis"].failure = failure
    told = {"status": "not ready", "process": "working", "database": "ok", "redis": "unreachable"}
    assert readiness() == (False, told)
    stores["redis"].failure = None
    assert readiness()[0]


def test_a_silent_store_is_probed_once_and_counts_when_it_answers(
    readiness: Readiness, stores: dict[str, ProbedStore]
) -> None:
    """Each probe would take a connection."""
    database, began = stores["database"], time.monotonic()
    database.speaks.clear()
    for _ in range(2):
        assert readiness()[1]["database"] == "unreachable"
    assert time.monotonic() - began == pytest.approx(3, abs=1)
    assert database.asked == 1
    threading.Timer(0.5, database.speaks.set).start()
    assert [(readiness()[0], database.asked) for _ in range(2)] == [(True, 1), (True, 2)]


def test_a_loop_that_stands_still_or_is_closed_is_not_ready(
    readiness: Readiness, loop: asyncio.AbstractEventLoop
) -> None:
    told = (False, {"status": "not ready", "process": "standing still"})
    began = time.monotonic()
    loop.call_soon_threadsafe(time.sleep, 3)
    assert readiness() == told
    assert time.monotonic() - began < 3
    while not readiness()[0]:
        assert time.monotonic() - began < 10
    closed = asyncio.new_event_loop()
    closed.close()
    readiness.check_with(closed, {})
    assert readiness() == told


def test_a_probe_in_flight_at_the_end_reports_stopping() -> None:
    """The end of `asyncio.run` cancels the probe's task."""
    readiness = Readiness()

    async def process(probes: ThreadPoolExecutor) -> Future[tuple[bool, dict[str, str]]]:
        event = asyncio.Event()

        async def silent() -> None:
            event.set()
            await asyncio.Event().wait()

        readiness.check_with(asyncio.get_running_loop(), {"redis": silent})
        readiness.start()
        probe = probes.submit(readiness)
        await event.wait()
        return probe

    with ThreadPoolExecutor() as probes:
        told = asyncio.run(process(probes)).result()
    assert told == (False, {"status": "not ready", "process": "stopping"})


STUCK = 60.0
NONE_TAKEN, ROUNDS, LOOP = "jobs wait and none is taken", "its rounds are stuck", "its event loop is stuck"


class Watched:
    """A watched process's state."""

    def __init__(self, progress: Progress, clock: Clock) -> None:
        self.clock = clock
        self.loop_answers = True
        self.watchdog = Watchdog(
            progress, stuck_seconds=STUCK, call_in_loop=self._ask, on_stuck=lambda _reason: None, monotonic=clock
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

    def is_stuck_after(self, seconds: float, reason: str = ROUNDS) -> bool:
        """Return True if it is stuck for this reason then, and was not a second before."""
        return (self.look_after(seconds - 1), self.look_after(1)) == (None, reason)


class Worker(Watched):
    def __init__(self, url: str) -> None:
        self.full = False
        self.redis = blocking.Redis.from_url(url, socket_connect_timeout=1)
        self.taken = TakenMessages(self.redis, stuck_seconds=STUCK, is_full=lambda: self.full)
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
    looked_at.look_after(0)
    yield looked_at
    looked_at.redis.close()


@pytest.fixture
def housekeeping() -> Housekeeping:
    return Housekeeping()


def test_a_worker_with_room_that_takes_nothing_for_a_minute_is_stuck(worker: Worker) -> None:
    assert worker.look_after(STUCK - 1) is None
    worker.taken.picked_up()
    assert worker.look_after(1) is None
    assert worker.is_stuck_after(STUCK, NONE_TAKEN)


def test_a_worker_that_was_held_still_itself_is_given_time(worker: Worker) -> None:
    worker.look_after(STUCK - 1)
    worker.clock.now += 10 * STUCK
    assert worker.watchdog.look() is None
    assert worker.look_after(STUCK) == NONE_TAKEN


def test_nothing_to_take_or_no_room_is_no_reason(worker: Worker) -> None:
    worker.full = True
    assert worker.look_after(STUCK) is None
    worker.full = False
    worker.redis.delete("celery")
    assert [worker.look_after(STUCK) for _ in range(2)] == [None, None]


def test_a_redis_that_is_away_restarts_nobody() -> None:
    worker = Worker(f"redis://127.0.0.1:{free_port()}/0")
    assert [worker.look_after(STUCK) for _ in range(3)] == [None, None, None]


def test_an_event_loop_that_stands_still_is_stuck_though_no_job_waits(worker: Worker) -> None:
    worker.redis.delete("celery")
    worker.loop_answers = False
    assert worker.is_stuck_after(STUCK, LOOP)


def test_a_round_that_takes_longer_than_it_may_is_stuck_and_a_next_step_is_progress(housekeeping: Housekeeping) -> None:
    housekeeping.rounds.next_within(300)
    assert housekeeping.look_after(300 + STUCK - 1) is None
    housekeeping.rounds.next_within(0)
    assert housekeeping.is_stuck_after(STUCK)


def test_who_does_not_lead_may_wait_for_ever(housekeeping: Housekeeping) -> None:
    assert housekeeping.look_after(10 * STUCK) is None
    housekeeping.rounds.next_within(0)
    housekeeping.rounds.may_wait()
    assert housekeeping.look_after(10 * STUCK) is None


def test_rounds_that_were_held_still_with_their_process_are_given_time(housekeeping: Housekeeping) -> None:
    housekeeping.rounds.next_within(300)
    housekeeping.clock.now += 10_000
    assert housekeeping.is_stuck_after(STUCK + 1)
    housekeeping.rounds.next_within(300)
    housekeeping.clock.now += STUCK
    # Not less than the step's own limit.
    assert housekeeping.is_stuck_after(240 + STUCK)


def test_a_lost_lead_during_a_watchdog_reset_may_wait(housekeeping: Housekeeping) -> None:
    """Two threads: the watchdog must not overwrite the work's state."""

    class Late(float):
        """A time that is compared just before the work reports that it may wait."""

        def __add__(self, other: float) -> float:
            housekeeping.rounds.may_wait()
            return float(self) + other

    housekeeping.rounds.next_within(300)
    housekeeping.rounds.start_over(Late(10_000))
    housekeeping.clock.now += 10_000
    assert housekeeping.look_after(10 * STUCK) is None


@pytest.mark.parametrize("stuck", [0, 1])
def test_of_several_pieces_of_work_each_is_watched(stuck: int) -> None:
    clock = Clock()
    both = [Rounds(stuck_seconds=STUCK, monotonic=clock) for _ in range(2)]
    process = Watched(CombinedProgress(*both), clock)
    both[stuck].next_within(300)
    both[not stuck].next_within(3000)
    assert process.is_stuck_after(300 + STUCK)
    both[stuck].may_wait()
    assert process.look_after(STUCK) is None
    both[stuck].next_within(300)
    clock.now += 10_000
    assert process.is_stuck_after(STUCK + 1)


def test_a_store_that_failed_is_tried_by_one_call_in_each_rest_until_one_worked() -> None:
    clock = Clock(0)
    breaker = StoreBreaker(rest_seconds=5, monotonic=clock)

    def tries(now: float) -> list[bool]:
        clock.now = now
        return [breaker.allows_call() for _ in range(3)]

    assert tries(0) == [True, True, True]
    breaker.failed()
    assert [tries(now) for now in (4.9, 5, 10)] == [[False] * 3, [True, False, False], [True, False, False]]
    breaker.worked()
    assert tries(10) == [True, True, True]
