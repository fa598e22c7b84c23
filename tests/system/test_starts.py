"""Starts and ends of processes: unusable settings, other commands, a blocked log."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx2
import pytest
import redis

from cli.pilot.free_ports import free_port
from cli.pilot.processes import Child, Launch, Process, Start, start_afresh
from dev.stack.system import System
from tests.kit.loaded import LoadedPrograms
from tests.kit.system import CLOSED
from tests.kit.world import World, wait_for

ROOT = Path(__file__).resolve().parents[2]
CELERY = ["celery", "-A", "worker.app", "worker"]
UNUSABLE = ("_HOOLI", "_MY_ERRORS", "TENANTS_FILE")
UVICORN = ["uvicorn", "--factory", "api.app:create_app"]


def test_one_tenant_with_unusable_settings_is_closed_and_the_others_are_served(around: World, quick: System) -> None:
    housekeeping = quick.housekeeping
    quick.restart(housekeeping)
    try:
        assert around.ended(around.create_ticket())["state"] == "completed"
        assert around.post_webhook("900001", CLOSED).status_code == 403
        ports = {quick.api: "API_PROBE_PORT", quick.workers[0]: "METRICS_PORT", housekeeping: "METRICS_PORT"}
        for process, port in ports.items():
            told = process.output()
            for setting in ("SERVICEDESK_URL_HOOLI must be", "WEBHOOK_SECRET_MY_ERRORS: a tenant id must not"):
                assert told.count(f"Tenant settings unusable, the tenant is closed: {setting}") == 1, process.name
            figures = httpx2.get(f"http://127.0.0.1:{process.environment[port]}/metrics").text
            for tenant_id, unusable in (("acme", 0), (CLOSED, 1), ("unknown", 1)):
                series = f'ai_agents_tenant_settings_unusable{{tenant_id="{tenant_id}"}} {unusable}.0'
                assert series in figures, process.name
    finally:
        housekeeping.stop(8)
        with around.admin() as connection:
            # Its copies would appear in the prompts of later tests.
            connection.execute("TRUNCATE tickets, passages")
    (line,) = [line for line in quick.api.output().splitlines() if "reason=tenant closed" in line]
    assert ("Webhook rejected: status=403" in line, f"tenant_id: {CLOSED}" in line) == (True, True)
    with around.admin() as connection:
        rows = connection.execute("SELECT reason FROM rejections WHERE tenant_id = %s", (CLOSED,)).fetchall()
    assert rows == [("tenant closed",)]


@contextmanager
def started(launch: Launch, process: Process, command: list[str], log: Path, **settings: str) -> Iterator[Child]:
    """Start a command in a process's environment without its faulty settings."""
    environment = {name: value for name, value in process.environment.items() if not name.endswith(UNUSABLE)}
    ports = {name: str(free_port()) for name in ("METRICS_PORT", "API_PROBE_PORT", "FEEDBACK_PORT")}
    words = [sys.executable, "-m", *command]
    plain = launch(Start(words, environment | ports | settings, ROOT, log, signal.SIGKILL, None))
    try:
        yield plain
    finally:
        plain.kill()
        plain.wait()


@pytest.fixture
def no_taker(quick: System) -> Iterator[None]:
    """Suspend the system's worker, which then takes one message at most."""
    quick.workers[0].pause()
    yield
    quick.workers[0].resume()


@pytest.mark.slow
@pytest.mark.usefixtures("no_taker")
def test_plain_celery_and_plain_uvicorn_do_the_same_job(around: World, quick: System, tmp_path: Path) -> None:
    port, probes = free_port(), free_port()
    logs = [tmp_path / name for name in ("celery.log", "uvicorn.log")]
    api = [*UVICORN, "--port", str(port)]
    with (
        started(start_afresh, quick.workers[0], CELERY, logs[0]) as celery,
        started(start_afresh, quick.api, api, logs[1], API_PROBE_PORT=str(probes)) as uvicorn,
    ):
        wait_for(lambda: all("ready." in log.read_text(encoding="utf-8") for log in logs))
        for path in ("ready", "live"):
            wait_for(lambda path=path: httpx2.get(f"http://127.0.0.1:{probes}/health/{path}").status_code == 200)  # type: ignore[misc]
        tickets = [around.create_ticket(send_webhook=False) for _ in range(2)]
        for ticket_id in tickets:
            body, signed = around.signed(ticket_id)
            assert httpx2.post(f"http://127.0.0.1:{port}/webhook", content=body, headers=signed).status_code == 202
        assert wait_for(lambda: any(around.job(ticket_id)["state"] == "completed" for ticket_id in tickets))
        for plain in (celery, uvicorn):
            plain.send_signal(signal.SIGTERM)
        # uvicorn stops gracefully, and then ends by the signal that it got.
        assert all(plain.wait(20) in (0, -signal.SIGTERM) for plain in (celery, uvicorn))
    for log in logs:
        text = log.read_text(encoding="utf-8")
        assert "error" not in text.lower()
        assert [line for line in text.splitlines() if not line[:20].startswith("20")] == []
    quick.workers[0].resume()
    assert {around.ended(ticket_id)["state"] for ticket_id in tickets} == {"completed"}


@pytest.mark.usefixtures("no_taker")
def test_a_worker_that_takes_no_job_ends_itself(
    around: World, quick: System, tmp_path: Path, loaded: LoadedPrograms
) -> None:
    tickets = [around.create_ticket() for _ in range(2)]
    log = tmp_path / "deaf.log"
    with started(loaded, quick.workers[0], [*CELERY, "-Q", "another"], log, WORKER_STUCK_SECONDS="2") as deaf:
        assert deaf.wait(30) == 75
    text = log.read_text(encoding="utf-8")
    assert ("Worker error: jobs wait and none is taken" in text, "Worker stopped" in text) == (True, True)
    quick.workers[0].resume()
    assert {around.ended(ticket_id)["state"] for ticket_id in tickets} == {"completed"}


@contextmanager
def into_a_pipe(process: Process) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Run the process's command with its output in a pipe; return the writing end."""
    short = process.environment | {"WORKER_GRACE_SECONDS": "0.2"}
    out, into = os.pipe()
    with open(out, "rb"), open(into, "wb"):  # noqa: PTH123 -- they close them
        started = subprocess.Popen(process.command, env=short, cwd=process.folder, stdout=into, stderr=into)
        try:
            yield started, into
        finally:
            started.kill()
            started.wait()


def fill(into: int) -> None:
    """Fill the pipe, then make writes block again."""
    os.set_blocking(into, False)
    with suppress(BlockingIOError):
        while True:
            os.write(into, b"x")
    os.set_blocking(into, True)


@pytest.mark.skipif(sys.platform != "linux", reason="the size of a pipe is Linux's to set")
@pytest.mark.slow
def test_a_worker_with_a_blocked_log_returns_its_job_and_ends(around: World, quick: System) -> None:
    """Its end is forced, 20 s after its grace period, since no thread can log."""
    quick.workers[0].stop(8)
    with into_a_pipe(quick.workers[0]) as (worker, into):
        ticket_id = around.create_ticket("VPN is silent")
        wait_for(lambda: around.gpt4_requests("VPN is silent"))
        fill(into)
        worker.send_signal(signal.SIGTERM)
        wait_for(lambda: around.job(ticket_id)["state"] == "waiting", 5)
        # Given back, not taken away after its lease had expired: it cost no attempt.
        assert around.job(ticket_id)["attempt"] == 0
        assert worker.wait(30) == 75
    # The message stays with the dead worker for half an hour, and the relay would wait until its loss is certain.
    with redis.Redis.from_url(quick.state["redis_url"]) as client:
        client.delete("unacked", "unacked_index")
