"""Processes that die or are stopped at the worst moment: no accepted webhook is lost, and no ticket gets two notes."""

import redis

from devstack.system import System
from tests.kit.world import World, wait_for
from tests.system.outcomes import assert_one_note, figures, log_of


def test_the_job_of_a_killed_worker_is_run_again(around: World, quick: System) -> None:
    """SIGKILL during the GPT-4 call: the lease runs out, the relay queues the job, another attempt ends it."""
    subject = "VPN does not connect, killed"
    ticket_id = around.create_ticket(subject)
    wait_for(lambda: around.gpt4_requests(subject))
    quick.workers[0].kill()
    quick.restart(quick.workers[0])
    assert_one_note(around, ticket_id)
    assert around.job(ticket_id)["attempt"] == 2
    assert f"Job requeued: job_id={around.job(ticket_id)['id']}" in log_of(quick, ticket_id)
    assert figures(quick)["ai_agents_jobs_recovered_total"] == 1


def test_a_worker_that_is_told_to_stop_hands_back_what_does_not_end_in_its_grace(around: World, quick: System) -> None:
    """SIGTERM with jobs in flight: exit within the grace and some seconds; the jobs go on in the next worker."""
    tickets = [around.create_ticket(f"Slow mailbox {number}") for number in range(4)]
    wait_for(lambda: all(around.job(ticket_id).get("state") == "running" for ticket_id in tickets))
    worker = quick.workers[0]
    worker.stop(8)
    log = worker.log_path.read_text(encoding="utf-8")
    assert "Worker stopped" in log
    assert log.count("reason=worker stopping") == len(tickets)
    assert "Traceback" not in log
    assert all(around.job(ticket_id)["state"] == "waiting" for ticket_id in tickets)
    quick.restart(worker)
    for ticket_id in tickets:
        assert_one_note(around, ticket_id)
        assert around.job(ticket_id)["attempt"] == 1


def test_a_lost_message_is_published_again_though_a_dead_worker_holds_others(around: World, quick: System) -> None:
    """What a killed worker leaves in `unacked` must not hide that another job's message is gone."""
    subject = "VPN does not connect, held"
    held = [around.create_ticket(f"{subject} {number}") for number in range(3)]
    wait_for(lambda: len(around.gpt4_requests(subject)) == len(held))
    quick.workers[0].kill()
    lost = around.create_ticket()
    with redis.Redis.from_url(quick.state["redis_url"]) as client:
        wait_for(lambda: client.llen("celery"))
        client.delete("celery")
        assert client.hlen("unacked") >= len(held)
    quick.restart(quick.workers[0])
    for ticket_id in (lost, *held):
        assert_one_note(around, ticket_id)
    assert figures(quick)['ai_agents_jobs_queued_total{why="lost"}'] >= 1


def test_a_note_that_a_slow_desk_stores_late_is_not_posted_again(around: World) -> None:
    """The desk stores the note after our time limit: the next attempt comes after it has settled, and finds it."""
    ticket_id = around.create_ticket(send_webhook=False)
    around.desk_fault(
        ticket_id=ticket_id, tenant="acme", operation="add_note", kind="slow", seconds=6, performed=False, times=1
    )
    around.send_webhook(ticket_id)
    assert_one_note(around, ticket_id)
    assert around.job(ticket_id)["attempt"] == 2


def test_a_note_that_is_there_counts_though_the_ticket_was_closed_since(around: World, quick: System) -> None:
    """SIGKILL right after the note: the job is completed, not skipped, though nothing could be posted any more."""
    ticket_id = around.create_ticket(send_webhook=False)
    around.desk_fault(
        ticket_id=ticket_id, tenant="acme", operation="add_note", kind="slow", seconds=3, performed=True, times=1
    )
    around.send_webhook(ticket_id)
    wait_for(lambda: around.notes(ticket_id))
    quick.workers[0].kill()
    around.change_ticket(ticket_id, status="Closed")
    quick.restart(quick.workers[0])
    assert_one_note(around, ticket_id)


def test_a_worker_that_is_stopped_while_it_posts_leaves_one_note(around: World, quick: System) -> None:
    """SIGTERM with the POST under way, which the desk still carries out: the next worker waits and finds the note."""
    ticket_id = around.create_ticket(send_webhook=False)
    around.desk_fault(
        ticket_id=ticket_id, tenant="acme", operation="add_note", kind="slow", seconds=4, performed=False, times=1
    )
    around.send_webhook(ticket_id)
    wait_for(lambda: around.job(ticket_id).get("note_attempted_at"))
    quick.restart(quick.workers[0], {"NOTE_SETTLE_SECONDS": "6"})
    assert_one_note(around, ticket_id)


def test_an_answer_that_could_not_be_committed_is_not_paid_for_again(around: World, quick: System) -> None:
    """Postgres goes away during the GPT-4 call, for longer than the lease: the answer waits in Redis."""
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
