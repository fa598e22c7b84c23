"""How processes start: with what is missing named, with servers waited for or refused, and under other commands."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from devstack.system import System
from tests.kit.world import World, wait_for

ROOT = Path(__file__).resolve().parents[2]


def test_one_tenant_with_unusable_settings_is_closed_and_the_other_one_is_served(tmp_path: Path) -> None:
    """In each process a line for each thing to mend and a figure; its webhook is refused for a reason of its own."""
    broken = {"SERVICEDESK_URL_GLOBEX": "nowhere", "WEBHOOK_SECRET_MY_ERRORS": "x"}
    with System(tmp_path / "system", settings=broken, openai_seconds=0.3) as system:
        world = World(system)
        ticket_id = world.create_ticket()
        assert world.post_webhook("900001", "globex").status_code == 403
        assert world.ended(ticket_id)["state"] == "completed"
        world.close()
        for process in (system.api, system.workers[0], system.housekeeping):
            told = process.log_path.read_text(encoding="utf-8")
            for setting in ("SERVICEDESK_URL_GLOBEX must be", "WEBHOOK_SECRET_MY_ERRORS: a tenant id must not"):
                assert told.count(f"Tenant settings unusable, the tenant is closed: {setting}") == 1, process.name
            figures = httpx.get(system.state["metrics"][process.name]).text
            for tenant_id, unusable in (("acme", 0), ("globex", 1), ("unknown", 1)):
                series = f'ai_agents_tenant_settings_unusable{{tenant_id="{tenant_id}"}} {unusable}.0'
                assert series in figures, process.name
        told = system.api.log_path.read_text(encoding="utf-8")
        (line,) = [line for line in told.splitlines() if "reason=tenant closed" in line]
        assert "Webhook rejected: status=403" in line
        assert "tenant_id: globex" in line
        with world.admin() as connection:
            rows = connection.execute("SELECT tenant_id, reason FROM rejections").fetchall()
        assert rows == [("globex", "tenant closed")]


@pytest.mark.slow  # A job of a closed tenant is tried again after half a minute.
def test_a_job_of_a_tenant_that_is_closed_in_the_worker_waits_until_it_is_mended(tmp_path: Path) -> None:
    """Nothing is lost that another process accepted, and no attempt is used up."""
    with System(tmp_path / "system", openai_seconds=0.3, housekeeping=False) as system:
        world = World(system)
        (worker,) = system.workers
        url = worker.environment["SERVICEDESK_URL_GLOBEX"]
        system.restart(worker, {"SERVICEDESK_URL_GLOBEX": "nowhere"})
        ticket_id = world.create_ticket(tenant="globex")
        job_id = wait_for(lambda: world.job(ticket_id, "globex").get("id"))
        said = f"Job requeued: job_id={job_id}, ticket_id={ticket_id}, reason=tenant closed, held back for 30s"
        wait_for(lambda: said in worker.log_path.read_text(encoding="utf-8"))
        system.restart(worker, {"SERVICEDESK_URL_GLOBEX": url})
        job = world.ended(ticket_id, "globex")
        assert (job["state"], job["attempt"]) == ("completed", 1)
        world.close()


def test_plain_celery_and_plain_uvicorn_do_the_same_job(around: World, quick: System, tmp_path: Path) -> None:
    """`celery -A worker.app worker` and `uvicorn --factory api.app:create_app`, as they stand, in the same format."""
    port = quick.state["api_url"].rpartition(":")[2]
    commands = [
        ["-m", "celery", "-A", "worker.app", "worker"],
        ["-m", "uvicorn", "--factory", "api.app:create_app", "--port", port],
    ]
    for process, command in zip((quick.workers[0], quick.api), commands, strict=True):
        process.stop(8)
        log = tmp_path / f"{command[1]}.log"
        with log.open("w", encoding="utf-8") as output:
            plain = subprocess.Popen(
                [sys.executable, *command], env=process.environment, cwd=ROOT, stdout=output, stderr=output
            )
        try:
            wait_for(lambda log=log: "ready." in log.read_text(encoding="utf-8"))  # type: ignore[misc]
            time.sleep(0.2)
            if command[1] == "uvicorn":
                health = f"{quick.state['api_probe_url']}/health"
                assert [httpx.get(f"{health}/{asked}").status_code for asked in ("live", "ready")] == [200, 200]
                quick.restart(quick.workers[0])
            assert around.ended(around.create_ticket())["state"] == "completed"
        finally:
            plain.send_signal(signal.SIGTERM)
            # uvicorn stops gracefully, and then ends by the signal that it got.
            assert plain.wait(20) in (0, -signal.SIGTERM)
        text = log.read_text(encoding="utf-8")
        assert "error" not in text.lower()
        assert [line for line in text.splitlines() if not line[:20].startswith("20")] == []
    quick.restart(quick.api)


def test_a_worker_that_takes_no_job_though_jobs_wait_ends_itself_with_a_line(
    around: World, quick: System, tmp_path: Path
) -> None:
    """It listens to another queue, which stands for a deaf one: alive, connected, with room, and no progress."""
    quick.workers[0].stop(8)
    log = tmp_path / "deaf.log"
    with log.open("w", encoding="utf-8") as output:
        deaf = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "worker.app", "worker", "-Q", "another"],
            env=quick.workers[0].environment | {"WORKER_STUCK_SECONDS": "2"},
            cwd=ROOT,
            stdout=output,
            stderr=output,
        )
    try:
        ticket_id = around.create_ticket()
        assert deaf.wait(30) == 75
    finally:
        deaf.kill()
    text = log.read_text(encoding="utf-8")
    assert "Worker error: jobs wait and none is taken" in text
    assert "Worker stopped" in text
    quick.restart(quick.workers[0])
    assert around.ended(ticket_id)["state"] == "completed"
