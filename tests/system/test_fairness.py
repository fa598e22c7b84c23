"""Desks that are down or take few calls: jobs are held back, others are not, and all complete."""

import re
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from contextlib import closing

import pytest

from cli.pilot.processes import Process
from dev.stack.system import System
from tests.kit.system import SHORT, StartSystem
from tests.kit.world import World, wait_for
from tests.system.faq import lines_of
from tests.system.outcomes import assert_one_note

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def system(start_system: StartSystem) -> System:
    rates = {"acme.servicedesk.rate_per_minute": 11, "globex.servicedesk.rate_per_minute": 10}
    return start_system(settings=SHORT | rates, workers=2, openai_seconds=0.5, housekeeping=False)


def assert_done_once(world: World, tickets: dict[str, str], tenant: str) -> None:
    for ticket_id, subject in tickets.items():
        assert_one_note(world, ticket_id, tenant)
        assert len(world.gpt4_requests(subject)) == 1, subject


def create(world: World, what: str, count: int, tenant: str) -> dict[str, str]:
    subjects = [f"{what}-{number:02}-x" for number in range(count)]
    return {world.create_ticket(subject, tenant): subject for subject in subjects}


@pytest.fixture
def slow_model(start_system: StartSystem) -> Iterator[tuple[World, Process]]:
    """Start a system whose GPT-4 takes 3 s, so that a desk can go down meanwhile."""
    system = start_system(openai_seconds=3, housekeeping=False)
    with closing(World(system)) as world:
        yield world, system.workers[0]


def test_a_desk_that_is_down_holds_back_its_own_jobs_only(slow_model: tuple[World, Process]) -> None:
    world, worker = slow_model
    log = worker.log_path
    answered = create(world, "Answered", 1, "acme")
    (first,) = answered
    wait_for(lambda: any("Context gathered" in line for line in lines_of(worker, str(world.job(first).get("id")))))
    world.desk_fault(kind="status", code=503, tenant="acme")
    failing = create(world, "Failing", 5, "acme")
    wait_for(lambda: "Breaker error: desk of acme failed 5 times in a row" in log.read_text(encoding="utf-8"))
    held = create(world, "Held", 10, "acme")
    others = create(world, "Other", 30, "globex")

    started = time.monotonic()
    for ticket_id in others:
        assert world.ended(ticket_id, "globex")["state"] == "completed"
    assert time.monotonic() - started < 12
    rows = [world.job(ticket_id) for ticket_id in held]
    assert {(row["state"], row["attempt"], row["reason"]) for row in rows} == {("waiting", 0, "desk unavailable")}
    # An outage of the desk does not extend a job's deadline.
    assert all(abs((row["deadline_at"] - row["accepted_at"]).total_seconds() - 1800) < 1 for row in rows)

    world.clear_faults()
    assert_done_once(world, others, "globex")
    assert_done_once(world, answered | failing | held, "acme")
    text = log.read_text(encoding="utf-8")
    assert text.count("Breaker error: ") == 1
    assert text.count("Breaker closed: desk of acme is back") == 1
    for ticket_id in held:
        row, lines = world.job(ticket_id), lines_of(worker, str(world.job(ticket_id)["id"]))
        assert row["attempt"] == 1
        assert not any("Task failed" in line for line in lines)
        requeued = rf"job_id={row['id']}, ticket_id={ticket_id}, reason=desk unavailable, held back for \d+s"
        assert any(re.search(f"Job requeued: {requeued}", line) for line in lines)
    kept = lines_of(worker, str(world.job(first)["id"]))
    assert any("desk unavailable, held back for" in line for line in kept)
    assert any("GPT-4 answer of an earlier attempt reused" in line for line in kept)
    assert not any("Task failed" in line or "may still arrive" in line for line in kept)


def test_a_lone_job_of_a_desk_at_eleven_a_minute_completes(world: World) -> None:
    subject = "VPN does not connect, told to a slow desk"
    ticket_id = world.create_ticket(subject)
    assert world.ended(ticket_id, seconds=25)["state"] == "completed"
    assert [request["operation"] for request in world.desk_requests()] == ["read_ticket", "read_ticket", "add_note"]
    assert len(world.gpt4_requests(subject)) == 1


def test_five_jobs_at_once_complete_within_the_rate(world: World, system: System) -> None:
    started = time.monotonic()
    tickets = create(world, "Paced", 5, "globex")
    for ticket_id, subject in tickets.items():
        assert_one_note(world, ticket_id, "globex", seconds=180)
        assert world.job(ticket_id, "globex")["attempt"] == 1
        assert len(world.gpt4_requests(subject)) == 1
    assert time.monotonic() - started < 180
    requests = world.desk_requests("globex")
    assert Counter(request["ticket_id"] for request in requests) == dict.fromkeys(tickets, 3)
    moments = [request["time"] for request in requests]
    assert max(bisect_left(moments, first + 60) - index for index, first in enumerate(moments)) <= 10
    output = "".join(worker.log_path.read_text(encoding="utf-8") for worker in system.workers)
    assert "reason=desk rate limit, held back for" in output
    assert "Task failed" not in output
