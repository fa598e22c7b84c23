"""Metrics after one job of each kind and some rejected webhooks."""

import re
import time
from collections.abc import Iterator
from contextlib import closing

import httpx2
import pytest

from dev.stack.system import System
from tests.kit.system import StartSystem
from tests.kit.world import World, wait_for
from tests.system.outcomes import figures

REFUSED = "OpenAI API: 403 Forbidden"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def lived(start_system: StartSystem) -> Iterator[System]:
    """Start a system with four ended jobs: completed, skipped, failed, and completed by a second attempt."""
    system = start_system(openai_seconds=0.5)
    with closing(World(system)) as world:
        completed = world.create_ticket()
        world.ended(completed)
        world.openai_fault(kind="status", code=403, times=1)
        world.ended(world.create_ticket(tenant="globex"), "globex")
        world.openai_fault(kind="status", code=500, times=1)
        world.ended(world.create_ticket())
        # The same bytes: its job ends without a note, which frees all other keys of a delivery.
        body, signed = world.signed("999999")
        webhook = f"{system.state['api_url']}/webhook"
        for status in ("accepted", "duplicate"):
            assert httpx2.post(webhook, content=body, headers=signed, timeout=30).json()["status"] == status
            world.ended("999999")
        assert world.post_webhook(completed, secret="another tenant's").status_code == 403
        assert world.post_webhook(completed, "nobody", secret="nobody's").status_code == 403
        assert httpx2.post(webhook, content=b"{").status_code == 400
        assert httpx2.post(f"{webhook}s", content=b"{}").status_code == 404
        log = system.housekeeping.log_path
        wait_for(lambda: "Sync completed: tenant_id=globex" in log.read_text(encoding="utf-8"))
        wait_for(lambda: figures(system)["ai_agents_jobs_held"] == 0)
        yield system


def of(told: dict[str, float], name: str) -> dict[str, float]:
    found = {key.removeprefix(name): value for key, value in told.items() if key.partition("{")[0] == name}
    return {", ".join(re.findall(r'"([^"]*)"', key)): value for key, value in found.items() if value}


def test_api_metrics_count_each_webhook_and_the_queue(lived: System) -> None:
    values = figures(lived)
    assert of(values, "ai_agents_webhooks_total") == {
        "accepted, acme": 3,
        "duplicate, acme": 1,
        "signature mismatch, acme": 1,
        "accepted, globex": 1,
        "unknown tenant, unknown": 1,
        "malformed payload, unknown": 1,
        "unknown address, unknown": 1,
    }
    assert of(values, "ai_agents_jobs_queued_total") == {"webhook": 4, "due": 1}
    assert time.time() - values["ai_agents_relay_last_success_timestamp_seconds"] < 5
    assert values['ai_agents_job_duration_seconds_count{outcome="failed",tenant_id="globex"}'] == 0
    for nothing in ("queue_depth", "jobs_held", "accepted_without_outcome", "oldest_waiting_job_seconds"):
        assert values[f"ai_agents_{nothing}"] == 0
    for nothing in ("jobs", "jobs_ended_total", "jobs_recovered_total", "inbox_events_total"):
        assert of(values, f"ai_agents_{nothing}") == {}


def test_the_worker_tells_how_each_job_and_attempt_ended_and_how_long_it_took(lived: System) -> None:
    values = figures(lived, "worker")
    assert of(values, "ai_agents_jobs_ended_total") == {
        "completed, , acme": 2,
        "skipped, ticket not found, acme": 1,
        f"failed, {REFUSED}, globex": 1,
    }
    counted = of(values, "ai_agents_job_duration_seconds_count")
    assert counted == {"completed, acme": 2, "skipped, acme": 1, "failed, globex": 1}
    with closing(World(lived)) as world, world.admin() as connection:
        lasted = "sum(extract(epoch FROM finished_at - accepted_at))::float"
        rows = connection.execute(f"SELECT state || ', ' || tenant_id, {lasted} FROM jobs GROUP BY 1").fetchall()  # noqa: S608 -- ours
    assert of(values, "ai_agents_job_duration_seconds_sum") == pytest.approx(dict(rows), abs=0.3)
    assert of(values, "ai_agents_job_attempts_total") == {
        "completed, acme": 2,
        "retried, acme": 1,
        "skipped, acme": 1,
        "failed, globex": 1,
    }
    assert values["ai_agents_queue_wait_seconds_count"] == 5
    assert 0 < values["ai_agents_queue_wait_seconds_sum"] < 15
    assert values["ai_agents_jobs_in_flight"] == 0
    assert values["ai_agents_worker_concurrency"] == 64


def test_the_worker_tells_of_each_step_each_call_and_each_token(lived: System) -> None:
    values = figures(lived, "worker")
    steps = of(values, "ai_agents_step_duration_seconds_count")
    # The claims of a note are checked if the desk's copies had a source for it.
    checks = steps.pop("ok, claim_check", 0)
    assert checks <= 2
    assert steps == {
        "ok, context": 4,
        "skipped, context": 1,
        "ok, gpt4": 2,
        "failed, gpt4": 2,
        "ok, update": 2,
    }
    # A missing ticket is an answer, not a failure of the desk.
    assert of(values, "ai_agents_external_calls_total") == {
        "ok, servicedesk, acme": 3 + 1 + 3 + 1,
        "ok, servicedesk, globex": 1,
        "ok, gpt4, acme": 2 + checks,
        "failed, gpt4, acme": 1,
        "failed, gpt4, globex": 1,
    }
    assert of(values, "ai_agents_external_call_duration_seconds_count") == {
        ", servicedesk, acme": 8,
        ", servicedesk, globex": 1,
        "gpt-6-luna, gpt4, ": 4 + checks,
    }
    log = lived.workers[0].log_path.read_text(encoding="utf-8")
    for direction in ("input", "output"):
        paid = sum(int(count) for count in re.findall(rf"{direction}_tokens: (\d+)", log))
        assert paid > 0
        assert of(values, "ai_agents_gpt4_tokens_total")[f"{direction}, gpt-6-luna, acme"] == paid
    for server in ("desk of acme", "desk of globex", "model at 127.0.0.1"):
        assert values[f'ai_agents_breaker_open{{server="{server}"}}'] == 0


def test_housekeeping_tells_what_it_copied(lived: System) -> None:
    told = figures(lived, "housekeeping")
    assert of(told, "ai_agents_syncs_total") == {"completed, acme": 1, "completed, globex": 1}
    for moment in of(told, "ai_agents_sync_last_success_timestamp_seconds").values():
        assert 0 <= time.time() - moment < 60
    assert of(told, "ai_agents_external_calls_total").keys() == {"ok, servicedesk, acme", "ok, servicedesk, globex"}


def test_a_port_ends_with_its_process_and_its_counts_begin_anew(lived: System) -> None:
    """Outcomes start at zero, so that Prometheus sees a first failure as an increase.

    It is the last test: the worker restarts.
    """
    worker = lived.workers[0]
    worker.stop(8)
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(lived.state["metrics"]["worker"], timeout=5)
    lived.restart(worker)
    values = figures(lived, "worker")
    assert (values["ai_agents_queue_wait_seconds_count"], of(values, "ai_agents_jobs_ended_total")) == (0, {})
    counted = [values[key] for key in values if key.startswith("ai_agents_job_duration_seconds_count{")]
    assert counted == [0] * 6
