"""Runs without faults: the FAQ's steps for each job, a grep without hits, and many jobs at once."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dev.stack.system import System
from tests.kit.world import World, wait_for
from tests.system import faq
from tests.system.faq import HEALTHY, Support, assert_story, lines_of
from tests.system.outcomes import assert_one_note
from worker.runtime import DATABASE_CONNECTIONS, LEASE_CONNECTIONS

JOBS = 30


@pytest.mark.slow
@pytest.mark.parametrize("log_format", ["text", "json"])
def test_thirty_healthy_jobs_are_logged_from_start_to_end(log_format: str, tmp_path: Path) -> None:
    with System(tmp_path / "system", settings={"LOG_FORMAT": log_format}, openai_seconds=0.5) as system:
        log = system.housekeeping.log_path
        wait_for(lambda: log.read_text(encoding="utf-8").count("Sync completed: ") == len(system.tenants))
        world = World(system)
        (tmp_path / "bin").mkdir()
        support = Support(system, tmp_path / "bin")
        tenants = ["acme" if number % 2 else "globex" for number in range(JOBS)]
        tickets = [(world.create_ticket(tenant=tenant), tenant) for tenant in tenants]
        for ticket_id, tenant in tickets:
            assert_one_note(world, ticket_id, tenant)
        for number, (ticket_id, tenant) in enumerate(tickets):
            job_id = str(world.job(ticket_id, tenant)["id"])
            lines = lines_of(system.workers[0], job_id)
            assert_story(lines, HEALTHY, ticket_id, job_id)
            assert len(lines) == len(HEALTHY), lines
            queued = f"Job queued: job_id={job_id}, ticket_id={ticket_id}"
            assert [queued in line for line in lines_of(system.api, job_id)].count(True) == 1
            # For some of each tenant: a command takes as long as a job does.
            if number % 7 == 0:
                received = support.type(faq.STEP_1, ticket_id=ticket_id)
                assert any(f"Webhook received: ticket_id={ticket_id}, tenant_id={tenant}" in line for line in received)
                assert any(queued in line for line in support.type(faq.STEP_2, ticket_id=ticket_id))
                assert support.type(faq.STEP_4, job_id=job_id) == lines
        assert support.type(faq.STEP_3) == ["0"]
        assert support.type(faq.CAUSE_3) == []
        world.close()
        support.close()
    logs = {path.stem: path.read_text(encoding="utf-8") for path in system.logs.glob("*.log")}
    assert {"api", "worker", "housekeeping", "migrate"} <= set(logs)
    for name in ("api", "worker", "housekeeping", "migrate"):
        assert [line for line in logs[name].splitlines() if "error" in line.lower()] == []
    for process in ("API", "Worker", "Housekeeping"):
        assert f"{process} stopped" in logs[process.lower()]


_JOBS = 200
_OURS = "SELECT count(*) FROM pg_stat_activity WHERE application_name IN ('ai-agents worker', 'ai-agents leases')"
_STATES = "SELECT state::text, count(*)::integer FROM jobs GROUP BY 1"


@pytest.mark.slow
def test_two_hundred_jobs_at_once_take_five_connections(tmp_path: Path) -> None:
    assert DATABASE_CONNECTIONS + LEASE_CONNECTIONS <= 5
    settings = {"WORKER_CONCURRENCY": "1024"}
    with System(tmp_path / "system", settings=settings, openai_seconds=15, housekeeping=False) as system:
        world = World(system)
        with ThreadPoolExecutor(8) as senders:
            list(senders.map(lambda _: world.create_ticket(), range(_JOBS)))
        running, connections = [0], [0]

        def all_completed() -> bool:
            with world.admin() as connection:
                states = dict(connection.execute(_STATES).fetchall())
                connections.extend(number for (number,) in connection.execute(_OURS))
            running.append(states.get("running", 0))
            return states == {"completed": _JOBS}

        wait_for(all_completed, 120)
        with world.admin() as connection:
            assert connection.execute("SELECT max(attempt) FROM jobs").fetchone() == (1,)
        assert max(running) > _JOBS // 2
        assert max(connections) <= DATABASE_CONNECTIONS + LEASE_CONNECTIONS
        world.close()
