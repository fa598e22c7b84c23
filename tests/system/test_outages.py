"""Outages of servers, vanished clients and repeated webhooks: no loss and no duplicate."""

import json
import socket
import threading
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import httpx2
import pytest
import redis

from dev.stack.system import System
from jobs.queue import message_of
from jobs.repository import Event
from tests.kit.system import UNKNOWN_TO_THE_WORKER, desk_settings, other_settings
from tests.kit.tcp_proxy import TcpProxy
from tests.kit.world import World, wait_for
from tests.system.outcomes import assert_one_note, figures, log_of
from tests.system.vanishing import about_to_vanish


def test_a_duplicate_or_captured_webhook_gets_the_first_jobs_id(around: World, quick: System) -> None:
    """The id is not signed, so the same signed bytes are a duplicate with another id or none."""
    ticket_id = around.create_ticket(send_webhook=False)
    body, signed = around.signed(ticket_id)
    ids: list[dict[str, str]] = [{"X-ServiceDesk-Delivery": "d-8"}, {"X-ServiceDesk-Delivery": "d-9"}, {}]
    url = f"{quick.state['api_url']}/webhook"
    answers = [httpx2.post(url, content=body, headers=signed | more, timeout=30) for more in ids]
    time.sleep(1.1)  # signed again, it has another timestamp, so only its id identifies it
    answers.append(around.post_webhook(ticket_id, headers=ids[0]))
    assert [answer.status_code for answer in answers] == [202] * 4
    (job_id,) = {answer.json()["job_id"] for answer in answers}
    assert [answer.json()["status"] for answer in answers] == ["accepted", *["duplicate"] * 3]
    assert_one_note(around, ticket_id)
    assert log_of(quick, ticket_id).count(f"Webhook duplicate: job_id={job_id}, ticket_id={ticket_id}") == 3


def test_a_webhook_is_taken_while_redis_is_down_and_queued_when_it_is_back(around: World, quick: System) -> None:
    ticket_id = around.create_ticket(send_webhook=False)
    quick.redis.stop()
    try:
        answer = around.post_webhook(ticket_id)
        assert answer.status_code == 202
        assert "Job queued" not in log_of(quick, ticket_id)
    finally:
        quick.redis.restart()
    assert_one_note(around, ticket_id)
    assert f"Job queued: job_id={answer.json()['job_id']}" in log_of(quick, ticket_id)


def test_a_webhook_is_taken_while_postgres_is_down(around: World, quick: System) -> None:
    ticket_id = around.create_ticket(send_webhook=False)
    before = moved_from_redis(quick)
    quick.postgres.stop()
    try:
        answer = around.post_webhook(ticket_id, headers={"X-ServiceDesk-Delivery": "d-2"})
        again = around.post_webhook(ticket_id, headers={"X-ServiceDesk-Delivery": "d-2"})
    finally:
        quick.postgres.restart()
    assert answer.status_code == 202
    assert again.json() == {"job_id": answer.json()["job_id"], "status": "duplicate"}
    assert_one_note(around, ticket_id)
    assert str(around.job(ticket_id)["id"]) == answer.json()["job_id"]
    assert log_of(quick, ticket_id).count("Job queued: ") == 1
    assert moved_from_redis(quick) > before


def moved_from_redis(system: System) -> float:
    return sum(figures(system, process)["ai_agents_inbox_events_total"] for process in ("api", "worker"))


def test_with_both_stores_down_the_answer_is_503_and_later_202(around: World, quick: System) -> None:
    ticket_id = around.create_ticket(send_webhook=False)
    quick.redis.stop()
    quick.postgres.stop()
    try:
        refused = around.post_webhook(ticket_id)
        ready = httpx2.get(f"{quick.state['api_probe_url']}/health/ready", timeout=10)
    finally:
        quick.redis.restart()
        quick.postgres.restart()
    assert refused.status_code == 503
    assert int(refused.headers["retry-after"]) > 0
    assert ready.status_code == 503
    assert "Webhook rejected: status=503" in log_of(quick, ticket_id)
    assert wait_for(lambda: around.post_webhook(ticket_id).status_code == 202)
    assert_one_note(around, ticket_id)


def test_a_row_lost_by_a_failover_is_logged_and_its_ticket_can_be_sent_again(around: World, quick: System) -> None:
    """The new primary lacks the last commit: the row and its keys, not the message."""
    worker = quick.workers[0]
    nowhere = "ai_agents_messages_without_row_total"
    before = figures(quick, "worker")[nowhere]
    ended = around.create_ticket()
    assert_one_note(around, ended)
    ticket_id = around.create_ticket(send_webhook=False)
    worker.pause()
    try:
        job_id = around.post_webhook(ticket_id).json()["job_id"]
        # An API that has just missed Postgres would keep it in Redis first.
        wait_for(lambda: around.job(ticket_id))
        with around.admin() as connection:
            connection.execute("DELETE FROM jobs WHERE id = %s", (job_id,))
            connection.execute("DELETE FROM delivery_keys WHERE job_id = %s", (job_id,))
        with redis.Redis.from_url(quick.state["redis_url"]) as client:
            client.lpush("celery", message_of(around.job(ended)["id"], ""))
    finally:
        worker.resume()
    said = f"Message error: job_id={job_id}, reason=its row is nowhere"
    wait_for(lambda: said in worker.output())
    wait_for(lambda: figures(quick, "worker")[nowhere] > before)
    assert f"Job queued: job_id={job_id}, ticket_id={ticket_id}" in log_of(quick, ticket_id)
    around.send_webhook(ticket_id)
    assert_one_note(around, ticket_id)
    assert worker.output().count("reason=its row is nowhere") == figures(quick, "worker")[nowhere]
    assert f"Message error: job_id={around.job(ended)['id']}" not in worker.output()


def test_a_message_that_can_not_be_claimed_is_told_and_kept(around: World, quick: System) -> None:
    log = quick.workers[0].log_path
    with around.admin() as connection:
        connection.execute("REVOKE EXECUTE ON FUNCTION claim_next_job FROM ai_agents")
    ticket_id = around.create_ticket()
    try:
        wait_for(lambda: "Database error: job can't be claimed" in log.read_text(encoding="utf-8"))
    finally:
        with around.admin() as connection:
            connection.execute("GRANT EXECUTE ON FUNCTION claim_next_job TO ai_agents")
    assert_one_note(around, ticket_id)


def test_a_tenant_that_a_worker_does_not_know_yet_is_tried_again(around: World, quick: System) -> None:
    ticket_id = around.create_ticket(tenant=UNKNOWN_TO_THE_WORKER, id="900002")
    said = f"ticket_id={ticket_id}, reason=ServiceDesk Plus API: no desk configured; will be retried"
    wait_for(lambda: said in quick.workers[0].output())
    files = Path(quick.workers[0].environment["SECRETS_DIR"])
    for name, value in desk_settings(quick, UNKNOWN_TO_THE_WORKER).items():
        (files / name).write_text(value, encoding="utf-8")
    assert_one_note(around, ticket_id, UNKNOWN_TO_THE_WORKER)


def test_requests_over_one_connection_do_not_borrow_each_others_identifiers(around: World, quick: System) -> None:
    ticket_id = around.create_ticket(send_webhook=False)
    request = around.signed_request(ticket_id)
    junk = b"POST /webhook HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\njunk"
    url = httpx2.URL(quick.state["api_url"])
    with socket.create_connection((url.host, url.port or 80), timeout=10) as connection:
        connection.sendall(request + junk)
        received = b""
        while received.count(b"HTTP/1.1") < 2 or not received.endswith(b"}"):
            received += connection.recv(65536)
    assert b" 202 " in received
    assert b" 400 " in received
    lines = quick.api.log_path.read_text(encoding="utf-8").splitlines()
    refused = [line for line in lines if "status=400, reason=malformed payload" in line]
    assert refused
    assert not any("ticket_id" in line or "job_id" in line for line in refused)
    assert_one_note(around, ticket_id)


class Cable(TcpProxy):
    """Goes silent after a statement with `cut_at` and closes nothing, like a host that loses its network."""

    cut_at: bytes | None = None

    def __init__(self, database_url: str) -> None:
        self.is_cut, self._closing = threading.Event(), threading.Event()
        super().__init__(database_url)

    def close(self) -> None:
        self._closing.set()
        super().close()

    def pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        while (data := source.recv(65536)) and not self.is_cut.is_set():
            if self.cut_at is not None and self.cut_at in data:
                self.is_cut.set()
            sink.sendall(data)
        if self.is_cut.is_set():
            self._closing.wait()


@pytest.mark.slow
def test_a_peer_that_holds_one_tenants_delivery_holds_up_nobodys_retries(around: World, quick: System) -> None:
    around.desk_fault(tenant="globex", operation="read_ticket", kind="status", code=408, times=10)
    accepts = "SELECT remember_deliveries('acme', ARRAY[gen_random_uuid()], ARRAY['held'], now(), '10 minutes')"
    with about_to_vanish(quick.state["database_url"], "acme", accepts) as vanish:
        assert vanish() == 1
        mine = around.create_ticket(send_webhook=False)
        waits = Event(uuid4(), "acme", mine, None, ("held",), "", datetime.now(UTC))
        # As the API does without Postgres.
        with redis.Redis.from_url(quick.state["redis_url"]) as client:
            client.hset("inbox", str(waits.job_id), json.dumps(waits.to_json()))
        tickets = [around.create_ticket(f"Mail is late {number}", "globex") for number in range(10)]
        for ticket_id in tickets:
            row = around.ended(ticket_id, "globex", seconds=20)
            assert (row["state"], row["attempt"]) == ("completed", 2)
        # The server ends the idle transaction, and the event becomes a row.
        assert_one_note(around, mine)
    assert around.job(mine)["id"] == waits.job_id


@pytest.mark.slow
def test_a_job_of_a_disconnected_worker_ends_at_its_deadline(around: World, quick: System) -> None:
    """The worker never receives its claim: both ends consider the connection alive."""
    cable = Cable(quick.state["database_url"])
    with (
        other_settings(quick, quick.api, {"JOB_DEADLINE_SECONDS": "4"}),
        other_settings(quick, quick.workers[0], {"DATABASE_URL": cable.url}),
        closing(cable),
    ):
        cable.cut_at = b"claim_next_job"
        ticket_id = around.create_ticket()
        assert cable.is_cut.wait(10)
        row = around.ended(ticket_id, seconds=25)
    assert (row["state"], row["attempt"]) == ("failed", 1)
    failed = f"Task failed: job_id={row['id']}, ticket_id={ticket_id}, reason=deadline passed; not retried"
    wait_for(lambda: failed in log_of(quick, ticket_id))
