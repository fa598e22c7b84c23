"""One outcome for every accepted webhook, in the row, the log and the ticket."""

import math
import time

import httpx2
import pytest
import redis

from devstack.system import System
from tests.kit.world import World, wait_for
from tests.system.by_hand import on
from tests.system.outcomes import assert_one_note, figures


def test_a_message_that_comes_twice_or_late_does_nothing(around: World, quick: System) -> None:
    """Copies during the job and after its end: one attempt, one GPT-4 call, one note."""
    quick.workers[0].pause()
    subject = "VPN does not connect, copied"
    ticket_id = around.create_ticket(subject)
    with redis.Redis.from_url(quick.state["redis_url"]) as client:
        wait_for(lambda: client.llen("celery"))
        # A worker killed by another test may have left some.
        left = client.hlen("unacked")
        message = client.lindex("celery", 0)
        for _ in range(3):
            client.rpush("celery", message)
        quick.workers[0].resume()
        assert_one_note(around, ticket_id)
        client.rpush("celery", message)
        wait_for(lambda: client.llen("celery") == 0 and client.hlen("unacked") <= left)
    assert around.job(ticket_id)["attempt"] == 1
    assert len(around.gpt4_requests(subject)) == 1
    assert_one_note(around, ticket_id)
    told, job_id = quick.workers[0].output(), around.job(ticket_id)["id"]
    # It is held back first if another test has just made the model fail.
    held_back = told.count(f"Job requeued: job_id={job_id}")
    assert told.count(f"Task started: job_id={job_id}") == 1 + held_back


def test_a_redis_that_never_answers_costs_one_request_a_second_and_not_each(around: World, quick: System) -> None:
    """The breaker: the first webhook waits for a second, the later ones do not."""
    tickets = [around.create_ticket(send_webhook=False) for _ in range(6)]
    quick.redis.pause()
    try:
        seconds = []
        for ticket_id in tickets:
            began = time.monotonic()
            assert around.post_webhook(ticket_id).status_code == 202
            seconds.append(time.monotonic() - began)
        ready = httpx2.get(f"{quick.state['api_probe_url']}/health/ready", timeout=10)
    finally:
        quick.redis.resume()
    # The budget, plus half a second that sending may wait for a free thread. All six take a second or two, and the
    # breaker tries again after five.
    assert max(seconds) < 2
    assert len([one for one in seconds if one > 0.9]) == 1
    assert ready.status_code == 200
    for ticket_id in tickets:
        assert_one_note(around, ticket_id)


def test_the_api_tells_how_many_jobs_wait_and_that_none_is_without_outcome(around: World, quick: System) -> None:
    """In Prometheus's format; an unavailable store yields no old number."""
    quick.workers[0].pause()
    ticket_id = around.create_ticket()
    wait_for(lambda: figures(quick)["ai_agents_queue_depth"] == 1)
    held_back = 'ai_agents_jobs_held_back{reason="model out of credit",tenant_id="acme"}'
    with around.admin() as connection:
        job_id = around.job(ticket_id)["id"]
        connection.execute("UPDATE jobs SET reason = 'model out of credit' WHERE id = %s", (job_id,))
        connection.execute("SELECT tell_event('acme', %s, 1, 'held back', 'model out of credit')", (job_id,))
    assert figures(quick)[held_back] == 1
    quick.redis.stop()
    try:
        assert math.isnan(figures(quick)["ai_agents_queue_depth"])
    finally:
        quick.redis.start()
        quick.workers[0].resume()
    assert_one_note(around, ticket_id)
    assert wait_for(lambda: figures(quick)["ai_agents_queue_depth"] == 0)
    assert figures(quick)["ai_agents_accepted_without_outcome"] == 0
    assert figures(quick)['ai_agents_jobs{state="waiting"}'] == 0
    assert held_back not in figures(quick)


@pytest.mark.slow
def test_a_tenant_may_have_a_note_with_the_context_alone_when_gpt4_fails(around: World, quick: System) -> None:
    """One short escaped note, only with the setting.

    A retry by hand adds the enhancement.
    """
    worker = quick.workers[0]
    quick.restart(worker, {"acme.servicedesk.failure_note": True})
    tickets = {tenant: around.create_ticket("Fax <b>7", tenant=tenant, id="900003") for tenant in ("acme", "globex")}
    for tenant, ticket_id in tickets.items():
        around.ended(ticket_id, tenant)
    around.openai_fault(kind="status", code=403)
    # Longer than an unrenewed lease: the job has ended, and its claim is not lost.
    around.desk_fault(tenant="acme", operation="add_note", kind="slow", seconds=2, times=1)
    failing = {tenant: around.create_ticket("Fax <b>7", tenant=tenant, id="900004") for tenant in ("acme", "globex")}
    rows = {tenant: around.ended(ticket_id, tenant) for tenant, ticket_id in failing.items()}
    assert {row["state"] for row in rows.values()} == {"failed"}
    assert around.notes(failing["globex"], "globex") == []
    left = f"Note with context only left: ticket_id={failing['acme']}"
    wait_for(lambda: left in worker.log_path.read_text(encoding="utf-8"))
    assert f"ticket_id={failing['acme']}, reason=claim lost" not in worker.log_path.read_text(encoding="utf-8")
    (note,) = around.notes(failing["acme"])
    assert "No enhancement" in note
    assert f"Context of {rows['acme']['id']}" in note
    around.clear_faults()
    assert on(quick, "retry", str(rows["acme"]["id"])).returncode == 0
    wait_for(lambda: around.job(failing["acme"])["state"] == "completed")
    # Two notes, never two enhancements: each names its kind.
    first, second = sorted(around.notes(failing["acme"]), key=lambda text: "No enhancement" not in text)
    assert ("Context of" in first, "Ref " in first) == (True, False)
    assert ("No enhancement" in second, f"Ref {rows['acme']['id']}" in second) == (False, True)
    quick.restart(worker, {"acme.servicedesk.failure_note": None})
