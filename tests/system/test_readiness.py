"""Readiness and standing still: an unavailable store ends no process, a hung event loop does."""

import fcntl
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx2
import pytest

from cli.pilot.free_ports import free_port
from cli.pilot.processes import Process
from dev.stack.programs import Programs
from dev.stack.system import System
from tests.kit.system import IMPATIENT, StartSystem
from tests.kit.world import World, wait_for

KEY = "SERVICEDESK_API_KEY_ACME"
only_linux = pytest.mark.skipif(sys.platform != "linux", reason="leases of files are Linux's")


@contextmanager
def not_opened_by_others(path: Path) -> Iterator[None]:
    """Make others block when they open the file, by a lease of the kernel."""
    # The kernel requests the lease by this signal, and takes it after 45 s.
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)
    descriptor = os.open(path, os.O_RDWR)
    try:
        wait_for(lambda: _lease(descriptor))
        yield
    finally:
        os.close(descriptor)
        signal.signal(signal.SIGIO, before)


def _lease(descriptor: int) -> bool:
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_WRLCK)
    except BlockingIOError:
        return False  # another process reads it just now
    return True


def with_secret_files(system: System, process: Process, folder: Path) -> Path:
    """Start it with a short watchdog and a key in a file, which it reads every 5 s; return the file."""
    folder.mkdir()
    path = folder / KEY
    path.write_text(process.environment[KEY], encoding="utf-8")
    system.restart(process, IMPATIENT | {"SECRETS_DIR": str(folder)})
    return path


BOTH = ("database", "redis")
# Shows that the garbage collector is on again after loading, for which it is off.
COLLECTIONS = """
import gc, os

def told(*_):
    if gc.get_freeze_count():
        gc.callbacks.remove(told)
        os.write(1, b"collects\\n")

gc.callbacks.append(told)
"""


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    # The first test starts worker and housekeeping; each Python that starts reads the file below.
    folder = tmp_path_factory.mktemp("system")
    # Loaded first by each Python that has it on its path.
    (folder / "sitecustomize.py").write_text(COLLECTIONS, encoding="utf-8")
    settings = {"WORKER_GRACE_SECONDS": "8", "PYTHONPATH": str(folder)}
    with System(folder, settings=settings, openai_seconds=2, workers=0, housekeeping=False) as running:
        running.workers.append(Programs(running.logs, running.settings).worker(1, free_port()))
        yield running
        running.housekeeping.stop(8)


def background(system: System) -> list[Process]:
    return [system.workers[0], system.housekeeping]


def get(process: Process, path: str) -> httpx2.Response:
    # A Kubernetes probe allows 4 s.
    return httpx2.get(f"http://127.0.0.1:{process.environment['METRICS_PORT']}{path}", timeout=4)


def of(process: Process) -> dict[str, str]:
    told: dict[str, str] = get(process, "/ready").json()
    return told


def ready(process: Process) -> bool:
    assert get(process, "/metrics").status_code == 200
    answer = get(process, "/ready")
    assert (answer.status_code, answer.json()["status"]) in {(200, "ready"), (503, "not ready")}
    return answer.status_code == 200


def away(process: Process) -> set[str]:
    return {store for store in BOTH if of(process).get(store) == "unreachable"}


@contextmanager
def nobody_is_restarted(system: System) -> Iterator[None]:
    before = [process.pid for process in background(system)]
    yield
    for process in background(system):
        wait_for(lambda process=process: ready(process))  # type: ignore[misc]
        assert "Traceback" not in process.output()
    assert [process.pid for process in background(system)] == before


def test_a_process_is_unready_until_it_has_reached_its_stores(system: System) -> None:
    system.postgres.stop()
    system.redis.stop()
    try:
        for process in background(system):
            process.start()
            wait_for(lambda process=process: "Waiting for the database" in process.output())  # type: ignore[misc]
            assert not ready(process)
            assert of(process)["process"] == "starting"
        assert [away(process) for process in background(system)] == [{"database", "redis"}, {"database"}]
    finally:
        system.postgres.restart()
    wait_for(lambda: ready(system.housekeeping))
    # Celery has no Redis yet: the database alone is not enough.
    assert away(system.workers[0]) == {"redis"}
    system.redis.restart()
    wait_for(lambda: ready(system.workers[0]))
    assert "Traceback" not in "".join(process.output() for process in background(system))


@pytest.mark.parametrize("store", BOTH)
def test_a_store_that_is_away_or_silent_makes_unready_who_needs_it(store: str, system: System) -> None:
    server = system.redis if store == "redis" else system.postgres
    concerned = 1 if store == "redis" else 2
    for go, come in ((server.stop, server.restart), (server.pause, server.resume)):
        with nobody_is_restarted(system):
            go()
            try:
                for process in background(system)[:concerned]:
                    wait_for(lambda process=process: not ready(process))  # type: ignore[misc]
                    assert away(process) == {store}
                assert all(map(ready, background(system)[concerned:]))
            finally:
                come()


def test_a_worker_that_looks_for_redis_takes_no_jobs_and_says_so(system: System) -> None:
    worker = system.workers[0]
    with nobody_is_restarted(system):
        system.redis.stop()
        try:
            wait_for(lambda: of(worker)["process"] == "reconnecting")
        finally:
            system.redis.restart()


def test_a_housekeeping_that_waits_for_its_turn_is_ready(system: System) -> None:
    leader = system.housekeeping
    environment = leader.environment | {"METRICS_PORT": str(free_port())}
    log = system.logs / "follower.log"
    follower = Process("follower", leader.command, log_path=log, environment=environment, folder=leader.folder)
    follower.start()
    try:
        wait_for(lambda: "Housekeeping ready." in follower.output())
        assert ready(follower)
        assert ready(leader)
        assert "Sync completed" not in follower.output()
    finally:
        follower.stop(8)


def test_the_garbage_collector_works_once_a_process_is_ready(system: System) -> None:
    assert ["collects" in process.output() for process in (system.api, *background(system))] == [True] * 3


@pytest.mark.slow
@only_linux
def test_an_event_loop_that_stands_still_ends_housekeeping_with_a_line(system: System, tmp_path: Path) -> None:
    process = system.housekeeping
    key = with_secret_files(system, process, tmp_path / "secrets")
    wait_for(lambda: "Sync completed: tenant_id=acme" in process.output())
    with not_opened_by_others(key):
        assert process.wait(30) == 75
    shown_lines = process.output().splitlines()[-1]
    assert "error   Housekeeping error: its event loop is stuck; it ends, to be started anew" in shown_lines
    system.restart(process)
    wait_for(lambda: "Sync completed: tenant_id=acme" in process.output())


def test_a_worker_that_drains_is_unready_though_all_is_well(system: System) -> None:
    worker = system.workers[0]
    with closing(World(system)) as world:
        ticket_id = world.create_ticket()
        wait_for(lambda: "Task started: job_id=" in worker.output())
        worker.terminate()
        wait_for(lambda: "Worker stopping" in worker.output())
        assert not ready(worker)
        assert of(worker)["process"] == "stopping"
        assert worker.wait(20) == 0
        assert world.ended(ticket_id)["state"] == "completed"


@pytest.mark.slow
@only_linux
def test_a_worker_with_a_blocked_event_loop_ends_without_losing_its_job(
    tmp_path: Path, start_system: StartSystem
) -> None:
    """It cannot give the job back: the job is found by its lease."""
    system = start_system(settings=IMPATIENT | {"LEASE_SECONDS": "3"}, openai_seconds=0.5, housekeeping=False)
    with closing(World(system)) as world:
        worker = system.workers[0]
        key = with_secret_files(system, worker, tmp_path / "secrets")
        assert world.ended(world.create_ticket())["state"] == "completed"
        # The next job is the first to read it again.
        time.sleep(5)
        with not_opened_by_others(key):
            ticket_id = world.create_ticket()
            assert worker.wait(40) == 75
        assert "Worker error: its event loop is stuck; it ends, to be started anew" in worker.output()
        system.restart(worker)
        assert world.ended(ticket_id)["state"] == "completed"
        assert len(world.notes(ticket_id)) == 1


@pytest.mark.slow
def test_a_silent_database_is_an_outage_and_ends_no_process(start_system: StartSystem) -> None:
    system = start_system(workers=0, settings=IMPATIENT)
    process = system.housekeeping
    wait_for(lambda: "Sync completed: tenant_id=acme" in process.output())
    system.postgres.pause()
    try:
        wait_for(lambda: "Database error: housekeeping waits" in process.output(), 40)
    finally:
        system.postgres.resume()
    copied = process.output().count("Sync completed")
    wait_for(lambda: process.output().count("Sync completed") > copied)
    assert process.running
    assert "Housekeeping error" not in process.output()
