"""Isolation of a tenant's flood, slow desk or outage: no loss, no delay of others."""

import re
import time
from collections.abc import Iterator

import pytest

from devstack.system import System
from tests.kit.loaded import LoadedPrograms
from tests.kit.system import SHORT
from tests.kit.world import World, wait_for
from tests.system.outcomes import assert_one_note
from tests.system.stories import lines_of

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory, loaded: LoadedPrograms) -> Iterator[System]:
    """Start a system whose GPT-4 takes 3 s, so that a desk can go down meanwhile."""
    with System(
        tmp_path_factory.mktemp("fairness"), settings=SHORT, openai_seconds=3, housekeeping=False, launch=loaded
    ) as running:
        yield running


def assert_done_once(world: World, tickets: dict[str, str], tenant: str) -> None:
    """Check for one note and one GPT-4 call for each ticket (id -> subject)."""
    for ticket_id, subject in tickets.items():
        assert_one_note(world, ticket_id, tenant)
        assert len(world.gpt4_requests(subject)) == 1, subject


def create(world: World, what: str, count: int, tenant: str) -> dict[str, str]:
    subjects = [f"{what}-{number:02}-x" for number in range(count)]
    return {world.create_ticket(subject, tenant): subject for subject in subjects}


def test_a_desk_that_is_down_holds_back_its_own_jobs_only(world: World, system: System) -> None:
    """They keep their attempts and paid answers; the other tenant's run at full speed."""
    (worker,) = system.workers
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
        requeued = (
            rf"Job requeued: job_id={row['id']}, ticket_id={ticket_id}, reason=desk unavailable, held back for \d+s"
        )
        assert any(re.search(requeued, line) for line in lines)
    kept = lines_of(worker, str(world.job(first)["id"]))
    assert any("desk unavailable, held back for" in line for line in kept)
    assert any("GPT-4 answer of an earlier attempt used" in line for line in kept)
    assert not any("Task failed" in line or "may still arrive" in line for line in kept)
