"""Throttling desks, under any status: jobs wait, none fails, no other conclusion."""

import pytest

from dev.stack.system import System
from tests.kit.system import SHORT, StartSystem, other_settings
from tests.kit.world import World, wait_for
from tests.system.diagnosing import diagnose

THROTTLED = "desk throttled"
SETTINGS = SHORT | {"SYNC_INTERVAL_SECONDS": "3600", "RECONCILE_INTERVAL_SECONDS": "1800"}


@pytest.fixture(scope="module")
def system(start_system: StartSystem) -> System:
    tenants = ("acme", "globex", "initech")
    running = start_system(tenants=tenants, settings=SETTINGS, openai_seconds=0.1)
    wait_for(lambda: len(housekeeping_lines(running, "Sync completed: ")) == len(tenants))
    return running


def worker_lines(system: System, ticket_id: str) -> list[str]:
    lines = system.workers[0].log_path.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if f"ticket_id: {ticket_id}," in line]


def housekeeping_lines(system: System, words: str) -> list[str]:
    return [line for line in system.housekeeping.log_path.read_text(encoding="utf-8").splitlines() if words in line]


@pytest.mark.parametrize("operation", ["read_ticket", "add_note"])
@pytest.mark.parametrize(
    ("shape", "code", "wait_in"),
    [
        ("title", 400, "Retry-After"),
        pytest.param("list", 503, "X-Rate-Limit", marks=pytest.mark.slow),
        pytest.param("code", 429, "Retry-After", marks=pytest.mark.slow),
    ],
)
def test_a_throttled_job_waits_as_long_as_the_desk_asks_and_completes(
    operation: str, shape: str, code: int, wait_in: str, system: System, world: World
) -> None:
    ticket_id = world.create_ticket(f"Throttled at {operation} by {shape}", send_webhook=False)
    fault = {"tenant": "acme", "operation": operation, "ticket_id": ticket_id, "kind": "throttled", "times": 1}
    world.desk_fault(**fault, code=code, shape=shape, wait_in=wait_in, retry_after=2)
    world.send_webhook(ticket_id)
    job = world.ended(ticket_id)
    assert (job["state"], job["attempt"], len(world.notes(ticket_id))) == ("completed", 1, 1)
    shown = "\n".join(worker_lines(system, ticket_id))
    assert "ServiceDesk Plus API error: 429" in shown
    assert "Task failed" not in shown
    requests = [request for request in world.desk_requests() if request["ticket_id"] == ticket_id]
    refused, again, *_ = [request["time"] for request in requests if request["operation"] == operation]
    assert 2 <= again - refused < 10


def test_all_jobs_of_the_desk_wait_and_the_verdict_names_the_rate(system: System, world: World) -> None:
    first, second = (world.create_ticket(f"Throttled {number}", "globex", send_webhook=False) for number in (1, 2))
    world.desk_fault(tenant="globex", operation="read_ticket", kind="throttled", retry_after=40)
    for ticket_id in (first, second):
        world.send_webhook(ticket_id, "globex")
        wait_for(lambda ticket_id=ticket_id: world.job(ticket_id, "globex").get("reason") == THROTTLED)  # type: ignore[misc]
    job = world.job(second, "globex")
    assert (job["state"], job["attempt"]) == ("waiting", 0)
    assert (job["deadline_at"] - job["accepted_at"]).total_seconds() > 1830
    asked = [request["ticket_id"] for request in world.desk_requests("globex") if request["operation"] == "read_ticket"]
    assert asked.count(first) + asked.count(second) == 1
    found = diagnose(system, second, "globex")
    assert (found.said["verdict"], "the desk throttles our requests" in found.said["says"]) == ("rate_held", True)
    assert "globex.servicedesk.rate_per_minute" in found.said["do"][0]


def test_copying_and_comparing_wait_and_take_it_for_no_refusal(system: System, world: World) -> None:
    world.desk_fault(tenant="initech", operation="list_tickets", kind="throttled", times=1, retry_after=1)
    with other_settings(system, system.housekeeping, {"SYNC_INTERVAL_SECONDS": "1"}):
        shown = wait_for(lambda: housekeeping_lines(system, f"error: tenant_id=initech, reason={THROTTLED}"))
        completed = len(housekeeping_lines(system, "Sync completed: tenant_id=initech"))
        wait_for(lambda: len(housekeeping_lines(system, "Sync completed: tenant_id=initech")) > completed)
    assert shown
    assert not housekeeping_lines(system, "API: 400")
