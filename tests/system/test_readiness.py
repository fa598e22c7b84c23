"""Readiness and standing still: an unavailable store ends no process, a hung event loop does."""

import fcntl
import http.client
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from devstack.free_ports import free_port
from devstack.processes import Process
from devstack.programs import Programs
from devstack.system import System
from tests.kit.loaded import LoadedPrograms
from tests.kit.system import IMPATIENT
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
    """Start the process with a short watchdog and a key in a file; return the file.

    It reads the file every 5 s.
    """
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
    """Start a system afresh; the first test starts its worker and housekeeping.

    They end with the last test. Each Python that starts then reads the file below.
    """
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


def get(process: Process, path: str) -> tuple[int, str]:
    port = int(process.environment["METRICS_PORT"])
    # A Kubernetes probe allows 4 s.
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=4)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def ready(process: Process) -> bool:
    """Return True if status and body say so; the metrics must be served as well."""
    assert get(process, "/metrics")[0] == 200
    status, told = get(process, "/ready")
    assert (status, json.loads(told)["status"]) in {(200, "ready"), (503, "not ready")}
    return status == 200


def away(process: Process) -> set[str]:
    told = json.loads(get(process, "/ready")[1])
    return {store for store in BOTH if told.get(store) == "unreachable"}


@contextmanager
def nobody_is_restarted(system: System) -> Iterator[None]:
    """Check that all become ready again by themselves, without log lines for probes."""
    before = [process.pid for process in background(system)]
    yield
    for process in background(system):
        wait_for(lambda process=process: ready(process))  # type: ignore[misc]
        assert "Traceback" not in process.output()
    assert [process.pid for process in background(system)] == before


def test_a_process_is_unready_until_it_has_reached_its_stores(system: System) -> None:
    """It waits for them and names them; a rollout waits with it."""
    system.postgres.stop()
    system.redis.stop()
    try:
        for process in background(system):
            process.start()
            wait_for(lambda process=process: "Waiting for the database" in process.output())  # type: ignore[misc]
            assert not ready(process)
            assert json.loads(get(process, "/ready")[1])["process"] == "starting"
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
    """Both need Postgres, and the worker alone needs Redis."""
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
    """Redis may be back a while before Celery has its connection."""
    worker = system.workers[0]
    with nobody_is_restarted(system):
        system.redis.stop()
        try:
            wait_for(lambda: json.loads(get(worker, "/ready")[1])["process"] == "reconnecting")
        finally:
            system.redis.restart()


def test_a_housekeeping_that_waits_for_its_turn_is_ready(system: System) -> None:
    """In a rollout the new one starts before the old one ends."""
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
    """Reading a tenant's secret hangs; the process started next works."""
    process = system.housekeeping
    key = with_secret_files(system, process, tmp_path / "secrets")
    wait_for(lambda: "Sync completed: tenant_id=acme" in process.output())
    with not_opened_by_others(key):
        assert process.wait(30) == 75
    told = process.output().splitlines()[-1]
    assert "error   Housekeeping error: its event loop stands still; it ends, to be started anew" in told
    system.restart(process)
    wait_for(lambda: "Sync completed: tenant_id=acme" in process.output())


def test_a_worker_that_drains_is_unready_though_all_is_well(system: System) -> None:
    """It ends its current job, and takes no other."""
    worker = system.workers[0]
    world = World(system)
    ticket_id = world.create_ticket()
    wait_for(lambda: "Task started: job_id=" in worker.output())
    worker.terminate()
    wait_for(lambda: "Worker stopping" in worker.output())
    assert not ready(worker)
    assert json.loads(get(worker, "/ready")[1])["process"] == "stopping"
    assert worker.wait(20) == 0
    assert world.ended(ticket_id)["state"] == "completed"
    world.close()


@pytest.mark.slow
@only_linux
def test_a_worker_whose_event_loop_stands_still_ends_too_and_loses_no_job(
    tmp_path: Path, loaded: LoadedPrograms
) -> None:
    """It cannot give the job back: the job is found by its lease."""
    settings = IMPATIENT | {"LEASE_SECONDS": "3"}
    with System(
        tmp_path / "system", settings=settings, openai_seconds=0.5, housekeeping=False, launch=loaded
    ) as system:
        world = World(system)
        worker = system.workers[0]
        key = with_secret_files(system, worker, tmp_path / "secrets")
        assert world.ended(world.create_ticket())["state"] == "completed"
        # The next job is the first to read it again.
        time.sleep(5)
        with not_opened_by_others(key):
            ticket_id = world.create_ticket()
            assert worker.wait(40) == 75
        assert "Worker error: its event loop stands still; it ends, to be started anew" in worker.output()
        system.restart(worker)
        assert world.ended(ticket_id)["state"] == "completed"
        assert len(world.notes(ticket_id)) == 1
        world.close()


@pytest.mark.slow
def test_a_database_that_is_silent_is_an_outage_and_no_reason_to_end(tmp_path: Path, loaded: LoadedPrograms) -> None:
    """For ten watchdog limits: it logs the outage and resumes with the database."""
    with System(tmp_path / "system", workers=0, settings=IMPATIENT, launch=loaded) as system:
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
