"""Servers that go away and processes that die: no accepted webhook is lost, and no ticket gets two notes."""

import socket
from collections.abc import Iterator

import httpx
import pytest
import redis

from devstack.system import System
from tests.e2e.conftest import SHORT
from tests.e2e.world import World, wait_for

QUICK = {"LEASE_SECONDS": "3", "WORKER_GRACE_SECONDS": "1", "SERVICEDESK_TIMEOUT_SECONDS": "5"}


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A system whose leases and graces are short, and whose GPT-4 takes 1.5 s."""
    folder = tmp_path_factory.mktemp("outages")
    with System(folder, settings=SHORT | QUICK, openai_seconds=1.5, housekeeping=False) as running:
        yield running


@pytest.fixture
def world(system: System) -> Iterator[World]:
    """The system's outside."""
    outside = World(system)
    yield outside
    outside.clear_faults()
    outside.close()


def assert_one_note(world: World, ticket_id: str) -> None:
    """The job is completed, and its note is in the ticket once."""
    row = world.ended(ticket_id)
    assert row["state"] == "completed"
    notes = world.notes(ticket_id)
    assert len(notes) == 1
    assert f"Ref {row['id']}" in notes[0]


def test_a_duplicate_is_answered_with_the_first_jobs_id(world: World, system: System) -> None:
    """One job, one note, and a line that says so."""
    ticket_id = world.create_ticket(send_webhook=False)
    first, second = (world.post_webhook(ticket_id, headers={"X-ServiceDesk-Delivery": "d-1"}) for _ in range(2))
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json()["job_id"] == second.json()["job_id"]
    assert (first.json()["status"], second.json()["status"]) == ("accepted", "duplicate")
    assert_one_note(world, ticket_id)
    line = f"Webhook duplicate: job_id={first.json()['job_id']}, ticket_id={ticket_id}"
    assert line in system.api.log_path.read_text(encoding="utf-8")


def test_a_webhook_is_taken_while_redis_is_down_and_queued_when_it_is_back(world: World, system: System) -> None:
    """202, `Job queued` only when the message is in Redis, then the note."""
    ticket_id = world.create_ticket(send_webhook=False)
    system.redis.stop()
    try:
        answer = world.post_webhook(ticket_id)
        assert answer.status_code == 202
        assert "Job queued" not in log_of(system, ticket_id)
    finally:
        system.redis.restart()
    assert_one_note(world, ticket_id)
    assert f"Job queued: job_id={answer.json()['job_id']}" in log_of(system, ticket_id)


def test_a_webhook_is_taken_while_postgres_is_down(world: World, system: System) -> None:
    """202 through Redis; the row is made and the note comes when Postgres is back."""
    ticket_id = world.create_ticket(send_webhook=False)
    system.postgres.stop()
    try:
        answer = world.post_webhook(ticket_id, headers={"X-ServiceDesk-Delivery": "d-2"})
        again = world.post_webhook(ticket_id, headers={"X-ServiceDesk-Delivery": "d-2"})
    finally:
        system.postgres.restart()
    assert answer.status_code == 202
    assert again.json() == {"job_id": answer.json()["job_id"], "status": "duplicate"}
    assert_one_note(world, ticket_id)
    assert str(world.job(ticket_id)["id"]) == answer.json()["job_id"]


def test_with_both_stores_down_the_answer_is_503_and_later_202(world: World, system: System) -> None:
    """Nothing is promised that can't be kept, and the sender is told when to try again."""
    ticket_id = world.create_ticket(send_webhook=False)
    system.redis.stop()
    system.postgres.stop()
    try:
        refused = world.post_webhook(ticket_id)
        ready = httpx.get(f"{system.state['api_url']}/health/ready", timeout=10)
    finally:
        system.redis.restart()
        system.postgres.restart()
    assert refused.status_code == 503
    assert int(refused.headers["retry-after"]) > 0
    assert ready.status_code == 503
    assert "Webhook rejected: status=503" in log_of(system, ticket_id)
    assert wait_for(lambda: world.post_webhook(ticket_id).status_code == 202)
    assert_one_note(world, ticket_id)


def test_the_job_of_a_killed_worker_is_run_again(world: World, system: System) -> None:
    """SIGKILL during the GPT-4 call: the lease runs out, the relay queues the job, another attempt ends it."""
    subject = "VPN does not connect, killed"
    ticket_id = world.create_ticket(subject)
    wait_for(lambda: world.gpt4_requests(subject))
    system.workers[0].kill()
    system.restart(system.workers[0])
    assert_one_note(world, ticket_id)
    assert world.job(ticket_id)["attempt"] == 2
    assert f"Job requeued: job_id={world.job(ticket_id)['id']}" in log_of(system, ticket_id)


def test_a_note_of_unknown_outcome_is_not_posted_again(world: World) -> None:
    """The desk takes the note and cuts the connection: the next attempt finds it; GPT-4 is not paid twice."""
    subject = "VPN does not connect, cut"
    ticket_id = world.create_ticket(subject, send_webhook=False)
    world.desk_fault(ticket_id=ticket_id, tenant="acme", operation="add_note", kind="cut_after", times=1)
    world.send_webhook(ticket_id)
    assert_one_note(world, ticket_id)
    assert world.job(ticket_id)["attempt"] == 2
    assert len(world.gpt4_requests(subject)) == 1


def test_a_worker_that_is_told_to_stop_hands_back_what_does_not_end_in_its_grace(world: World, system: System) -> None:
    """SIGTERM with jobs in flight: exit within the grace and some seconds; the jobs go on in the next worker."""
    tickets = [world.create_ticket(f"Slow mailbox {number}") for number in range(4)]
    wait_for(lambda: all(world.job(ticket_id).get("state") == "running" for ticket_id in tickets))
    worker = system.workers[0]
    worker.stop(8)
    log = worker.log_path.read_text(encoding="utf-8")
    assert "Worker stopped" in log
    assert log.count("reason=worker stopping") == len(tickets)
    assert "Traceback" not in log
    assert all(world.job(ticket_id)["state"] == "waiting" for ticket_id in tickets)
    system.restart(worker)
    for ticket_id in tickets:
        assert_one_note(world, ticket_id)
        assert world.job(ticket_id)["attempt"] == 1


def test_a_message_that_is_lost_is_published_again_though_a_dead_worker_holds_others(
    world: World, system: System
) -> None:
    """What a killed worker leaves in `unacked` must not hide that another job's message is gone."""
    subject = "VPN does not connect, held"
    held = [world.create_ticket(f"{subject} {number}") for number in range(3)]
    wait_for(lambda: len(world.gpt4_requests(subject)) == len(held))
    system.workers[0].kill()
    lost = world.create_ticket()
    with redis.Redis.from_url(system.state["redis_url"]) as client:
        wait_for(lambda: client.llen("celery"))
        client.delete("celery")
        assert client.hlen("unacked") >= len(held)
    system.restart(system.workers[0])
    for ticket_id in (lost, *held):
        assert_one_note(world, ticket_id)


def test_a_note_that_a_slow_desk_stores_late_is_not_posted_again(world: World) -> None:
    """The desk stores the note after our time limit: the next attempt comes after it has settled, and finds it."""
    ticket_id = world.create_ticket(send_webhook=False)
    world.desk_fault(
        ticket_id=ticket_id, tenant="acme", operation="add_note", kind="slow", seconds=6, performed=False, times=1
    )
    world.send_webhook(ticket_id)
    assert_one_note(world, ticket_id)
    assert world.job(ticket_id)["attempt"] == 2


def test_a_note_that_is_there_counts_though_the_ticket_was_closed_since(world: World, system: System) -> None:
    """SIGKILL right after the note: the job is completed, not skipped, though nothing could be posted any more."""
    ticket_id = world.create_ticket(send_webhook=False)
    world.desk_fault(
        ticket_id=ticket_id, tenant="acme", operation="add_note", kind="slow", seconds=3, performed=True, times=1
    )
    world.send_webhook(ticket_id)
    wait_for(lambda: world.notes(ticket_id))
    system.workers[0].kill()
    world.change_ticket(ticket_id, status="Closed")
    system.restart(system.workers[0])
    assert_one_note(world, ticket_id)


def test_a_worker_that_is_stopped_while_it_posts_leaves_one_note(world: World, system: System) -> None:
    """SIGTERM with the POST under way, which the desk still carries out: the next worker waits and finds the note."""
    ticket_id = world.create_ticket(send_webhook=False)
    world.desk_fault(
        ticket_id=ticket_id, tenant="acme", operation="add_note", kind="slow", seconds=4, performed=False, times=1
    )
    world.send_webhook(ticket_id)
    wait_for(lambda: world.job(ticket_id).get("note_attempted_at"))
    system.restart(system.workers[0], {"NOTE_SETTLE_SECONDS": "6"})
    assert_one_note(world, ticket_id)


def test_an_answer_that_could_not_be_committed_is_not_paid_for_again(world: World, system: System) -> None:
    """Postgres goes away during the GPT-4 call, for longer than the lease: the answer waits in Redis."""
    subject = "VPN does not connect, uncommitted"
    ticket_id = world.create_ticket(subject)
    wait_for(lambda: world.gpt4_requests(subject))
    system.postgres.stop()
    try:
        with redis.Redis.from_url(system.state["redis_url"]) as client:
            wait_for(lambda: client.keys("answer:*"))
    finally:
        system.postgres.restart()
    assert_one_note(world, ticket_id)
    assert len(world.gpt4_requests(subject)) == 1


def test_a_message_that_can_not_be_claimed_is_told_and_kept(world: World, system: System) -> None:
    """The grant for claiming is missing for a while: a line with error says so, and the job is not lost."""
    log = system.workers[0].log_path
    with world.admin() as connection:
        connection.execute("REVOKE EXECUTE ON FUNCTION claim_job FROM ai_agents")
    ticket_id = world.create_ticket()
    try:
        wait_for(lambda: "Database error: job can't be claimed" in log.read_text(encoding="utf-8"))
    finally:
        with world.admin() as connection:
            connection.execute("GRANT EXECUTE ON FUNCTION claim_job TO ai_agents")
    assert_one_note(world, ticket_id)


def test_a_tenant_that_a_worker_does_not_know_yet_is_tried_again(world: World, system: System) -> None:
    """The API knows a new tenant, the worker will: the attempt fails, says why, and the job is not given up."""
    worker = system.workers[0]
    desk = {
        name: value
        for name, value in worker.environment.items()
        if name.startswith("SERVICEDESK_") and name.endswith("_GLOBEX")
    }
    system.restart(worker, dict.fromkeys(desk, ""))
    ticket_id = world.create_ticket(tenant="globex", id="900002")
    said = f"ticket_id={ticket_id}, reason=ServiceDesk Plus API: no desk configured; will be retried"
    wait_for(lambda: said in worker.log_path.read_text(encoding="utf-8"))
    system.restart(worker, desk)
    assert world.ended(ticket_id, "globex")["state"] == "completed"
    assert len(world.notes(ticket_id, "globex")) == 1


def test_requests_over_one_connection_do_not_borrow_each_others_identifiers(world: World, system: System) -> None:
    """A refused request after an accepted one, pipelined: its line has nothing of the other's."""
    ticket_id = world.create_ticket(send_webhook=False)
    request = world.signed_request(ticket_id)
    junk = b"POST /webhook HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\njunk"
    url = httpx.URL(system.state["api_url"])
    with socket.create_connection((url.host, url.port or 80), timeout=10) as connection:
        connection.sendall(request + junk)
        received = b""
        while received.count(b"HTTP/1.1") < 2 or not received.endswith(b"}"):
            received += connection.recv(65536)
    assert b" 202 " in received
    assert b" 400 " in received
    lines = system.api.log_path.read_text(encoding="utf-8").splitlines()
    refused = [line for line in lines if "status=400, reason=malformed payload" in line]
    assert refused
    assert not any("ticket_id" in line or "job_id" in line for line in refused)
    assert_one_note(world, ticket_id)


def log_of(system: System, ticket_id: str) -> str:
    """The API's lines about a ticket."""
    lines = system.api.log_path.read_text(encoding="utf-8").splitlines()
    return "\n".join(line for line in lines if f"ticket_id: {ticket_id}," in f"{line},")
