"""Readiness of workers and housekeeping, with at most one call to a silent store."""

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from observability import tracing
from observability.health import Readiness


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """Run a process's event loop in its own thread."""
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
    made.ask(loop, {name: store.ask for name, store in stores.items()})
    made.start()
    return made


def test_from_its_start_to_its_end(loop: asyncio.AbstractEventLoop, stores: dict[str, ProbedStore]) -> None:
    """Ready only while it works; the stores are named as soon as they can be probed, and probes make no spans."""
    readiness = Readiness()
    assert readiness() == (False, {"status": "not ready", "process": "starting"})
    readiness.ask(loop, {name: store.ask for name, store in stores.items()})
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


def test_a_silent_store_is_asked_once_and_counts_when_it_speaks(
    readiness: Readiness, stores: dict[str, ProbedStore]
) -> None:
    """Each probe would take a connection."""
    stores["database"].speaks.clear()
    began = time.monotonic()
    for _ in range(2):
        assert readiness()[1]["database"] == "unreachable"
    assert time.monotonic() - began == pytest.approx(3, abs=1)
    assert stores["database"].asked == 1
    threading.Timer(0.5, stores["database"].speaks.set).start()
    assert readiness()[0]
    assert stores["database"].asked == 1
    assert readiness()[0]
    assert stores["database"].asked == 2


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
    readiness.ask(closed, {})
    assert readiness() == told


def test_a_probe_in_flight_when_the_loop_ends_is_told_that_the_process_stops() -> None:
    """The end of `asyncio.run` cancels the probe's task."""
    readiness = Readiness()

    async def process(probes: ThreadPoolExecutor) -> Future[tuple[bool, dict[str, str]]]:
        asked = asyncio.Event()

        async def silent() -> None:
            asked.set()
            await asyncio.Event().wait()

        readiness.ask(asyncio.get_running_loop(), {"redis": silent})
        readiness.start()
        probe = probes.submit(readiness)
        await asked.wait()
        return probe

    with ThreadPoolExecutor() as probes:
        told = asyncio.run(process(probes)).result()
    assert told == (False, {"status": "not ready", "process": "stopping"})
