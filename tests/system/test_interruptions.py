"""Processes killed or stopped at the worst moment: no loss and no double note."""

from contextlib import closing
from dataclasses import dataclass
from typing import Any

import pytest
import redis

from dev.stack.system import System
from tests.kit.world import World, wait_for
from tests.system.outcomes import assert_one_note, figures, log_of

LOST = 'ai_agents_jobs_queued_total{why="lost"}'
RECOVERED = "ai_agents_jobs_recovered_total"
# The list has to be short of the lost message for 40 s: messages of dead and living workers look alike.
LOSS_IS_SURE_SECONDS = 120


@dataclass(frozen=True)
class CaughtInFlight:
    """Tickets in progress when the worker ended, and the API's earlier counters, of other tests' jobs too."""

    thinking: list[str]
    posting: str
    counted: dict[str, float]


def fly(world: World, system: System, subject: str, **posting: Any) -> CaughtInFlight:
    """Start three jobs with slow GPT-4 calls, and one POST to a desk with this fault."""
    counted = figures(system)
    world.openai_fault(kind="slow_stream", match=subject, seconds=1, times=3)
    thinking = [world.create_ticket(f"{subject} {number}") for number in range(3)]
    wait_for(lambda: len(world.gpt4_requests(subject)) >= len(thinking))
    posted = world.create_ticket(send_webhook=False)
    world.desk_fault(ticket_id=posted, tenant="acme", operation="add_note", times=1, **posting)
    world.send_webhook(posted)
    wait_for(lambda: world.job(posted).get("note_attempted_at"))
    return CaughtInFlight(thinking, posted, counted)


@pytest.fixture(scope="module")
def killed(quick: System) -> tuple[CaughtInFlight, str]:
    """Kill the worker in GPT-4 calls and right after a note; lose another message before the next worker starts."""
    with closing(World(quick)) as world, redis.Redis.from_url(quick.state["redis_url"]) as client:
        caught = fly(world, quick, "VPN does not connect, killed", kind="silence", performed=True)
        wait_for(lambda: world.notes(caught.posting))
        quick.workers[0].kill()
        world.change_ticket(caught.posting, status="Closed")
        lost = world.create_ticket()
        wait_for(lambda: client.llen("celery"))
        client.delete("celery")
        assert client.hlen("unacked") > len(caught.thinking)
    quick.restart(quick.workers[0])
    return caught, lost


@pytest.mark.slow
def test_a_killed_workers_job_runs_again(around: World, quick: System, killed: tuple[CaughtInFlight, str]) -> None:
    """Where the note exists and the ticket was closed since, it is completed, not skipped, without another POST."""
    caught, _ = killed
    for ticket_id in (*caught.thinking, caught.posting):
        assert_one_note(around, ticket_id, seconds=LOSS_IS_SURE_SECONDS)
        assert around.job(ticket_id)["attempt"] == 2
        assert f"Job requeued: job_id={around.job(ticket_id)['id']}" in log_of(quick, ticket_id)
    assert figures(quick)[RECOVERED] >= caught.counted[RECOVERED] + len(caught.thinking) + 1


@pytest.mark.slow
def test_a_lost_message_is_published_again(around: World, quick: System, killed: tuple[CaughtInFlight, str]) -> None:
    """A killed worker's entries in `unacked` must not hide a missing message."""
    caught, lost = killed
    assert_one_note(around, lost, seconds=LOSS_IS_SURE_SECONDS)
    assert figures(quick)[LOST] >= caught.counted[LOST] + 1


def test_a_stopping_worker_returns_unfinished_jobs(around: World, quick: System) -> None:
    """One POST is under way, which the desk still carries out: the next worker waits and finds the note."""
    caught = fly(around, quick, "Slow mailbox", kind="slow", seconds=3, performed=False)
    worker = quick.workers[0]
    worker.stop(8)
    told = worker.output()
    assert "Worker stopped" in told
    for ticket_id in (*caught.thinking, caught.posting):
        assert told.count(f"ticket_id={ticket_id}, reason=worker stopping") == 1
    assert "Traceback" not in told
    assert all(around.job(ticket_id)["state"] == "waiting" for ticket_id in caught.thinking)
    quick.restart(worker)
    for ticket_id in caught.thinking:
        assert_one_note(around, ticket_id)
        assert around.job(ticket_id)["attempt"] == 1
    assert_one_note(around, caught.posting)


def test_an_uncommitted_answer_is_not_paid_twice(around: World, quick: System) -> None:
    subject = "VPN does not connect, uncommitted"
    ticket_id = around.create_ticket(subject)
    wait_for(lambda: around.gpt4_requests(subject))
    quick.postgres.stop()
    try:
        with redis.Redis.from_url(quick.state["redis_url"]) as client:
            wait_for(lambda: client.keys("answer:*"))
    finally:
        quick.postgres.restart()
    assert_one_note(around, ticket_id)
    assert len(around.gpt4_requests(subject)) == 1
