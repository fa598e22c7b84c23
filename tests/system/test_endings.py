"""One outcome for every accepted webhook, in the row, the log and the ticket."""

import math
import re
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
import redis

from dev.stack.system import System
from tests.kit.system import other_settings
from tests.kit.world import World, wait_for
from tests.system.by_hand import on
from tests.system.outcomes import assert_one_note, figures, log_of


def test_a_message_that_comes_twice_or_late_does_nothing(around: World, quick: System) -> None:
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
def test_a_tenant_may_get_a_context_note_when_gpt4_fails(around: World, quick: System) -> None:
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
    wait_for(lambda: f"Failure note posted: ticket_id={failing['acme']}" in worker.output())
    assert f"ticket_id={failing['acme']}, reason=claim lost" not in worker.output()
    (note,) = around.notes(failing["acme"])
    assert "No suggestions: gpt-6-luna (127.0.0.1) gave no usable answer." in note
    assert f"Job {rows['acme']['id']}" in note
    around.clear_faults()
    assert on(quick, "retry", str(rows["acme"]["id"])).returncode == 0
    wait_for(lambda: around.job(failing["acme"])["state"] == "completed")
    # Two notes, never two enhancements: each names its kind.
    first, second = sorted(around.notes(failing["acme"]), key=lambda text: "No suggestions" not in text)
    assert ("Job " in first, "Ref " in first) == (True, False)
    assert ("No suggestions" in second, f"Ref {rows['acme']['id']}" in second) == (False, True)
    quick.restart(worker, {"acme.servicedesk.failure_note": None})


ENDED = ("completed", "skipped", "failed")


@pytest.fixture
def talkative(around: World) -> Iterator[World]:
    around.configure_desk(webhook_on_update=True)
    yield around
    around.configure_desk(webhook_on_update=False)


def ended(world: World, ticket_id: str, count: int) -> list[dict[str, Any]]:
    """Return the ended jobs of all webhooks that the desk posted, oldest first."""

    def all_of_them() -> bool:
        with world.admin() as connection:
            # A held-back job need not wait here for its time.
            connection.execute("UPDATE jobs SET due_at = now() WHERE state = 'waiting' AND due_at > now()")
        rows = world.jobs(ticket_id)
        return len(rows) == count and all(row["state"] in ENDED for row in rows)

    wait_for(all_of_them)
    return world.jobs(ticket_id)


def test_our_own_note_makes_no_second_job_on_a_desk_that_fires_on_updates(talkative: World, quick: System) -> None:
    subject = "VPN does not connect, told at each change"
    ticket_id = talkative.create_ticket(subject)
    first, second = ended(talkative, ticket_id, 2)
    assert (first["state"], second["state"], second["reason"]) == ("completed", "skipped", "already enhanced")
    talkative.change_ticket(ticket_id, subject=f"{subject} (edited)")
    # The loop is over: no further webhook is sent.
    third = ended(talkative, ticket_id, 3)[2]
    time.sleep(1.5)
    assert len(talkative.jobs(ticket_id)) == 3
    assert (third["state"], third["reason"]) == ("skipped", "already enhanced")
    assert {delivery["status"] for delivery in talkative.deliveries(ticket_id)} == {202}
    assert len(talkative.notes(ticket_id)) == 1
    assert len(talkative.gpt4_requests(subject)) == 1
    skipped = f"Task skipped: job_id={second['id']}, ticket_id={ticket_id}, reason=already enhanced"
    assert skipped in quick.workers[0].output()
    assert on(quick, "retry", str(third["id"])).returncode == 0
    wait_for(lambda: len(talkative.notes(ticket_id)) == 2)


@pytest.mark.slow
def test_a_note_that_the_desk_stores_without_saying_so_makes_no_second_job(talkative: World) -> None:
    subject = "VPN does not connect, stored and denied"
    ticket_id = talkative.create_ticket(subject, send_webhook=False)
    of_ticket = {"ticket_id": ticket_id, "tenant": "acme"}
    talkative.desk_fault(**of_ticket, operation="add_note", kind="html", performed=True)
    talkative.desk_fault(**of_ticket, operation="list_notes", kind="status", code=403)
    assert talkative.post_webhook(ticket_id).status_code == 202
    first, second = ended(talkative, ticket_id, 2)
    assert first["state"] == "failed"
    assert (second["state"], second["reason"]) == ("skipped", "already enhanced")
    assert len(talkative.notes(ticket_id)) == 1
    assert len(talkative.gpt4_requests(subject)) == 1


def test_of_two_webhooks_while_gpt4_thinks_one_is_worked_on(talkative: World, quick: System) -> None:
    subject = "VPN does not connect, edited meanwhile"
    ticket_id = talkative.create_ticket(subject)
    wait_for(lambda: talkative.gpt4_requests(subject))
    talkative.change_ticket(ticket_id, subject=f"{subject} once more")
    states = [row["state"] for row in ended(talkative, ticket_id, 3)]
    assert states == ["completed", "skipped", "skipped"]
    assert len(talkative.notes(ticket_id)) == 1
    assert len(talkative.gpt4_requests(subject)) == 1
    held_back = f"ticket_id={ticket_id}, reason=another job of this ticket, held back for 15s"
    assert held_back in quick.workers[0].output()


def test_a_ticket_that_was_closed_and_is_open_again_can_be_sent_again(around: World) -> None:
    ticket_id = around.create_ticket(send_webhook=False)
    around.change_ticket(ticket_id, status="Closed")
    around.send_webhook(ticket_id, delivery_id="the trigger's own")
    assert around.ended(ticket_id)["state"] == "skipped"
    around.change_ticket(ticket_id, status="Open")
    time.sleep(1.1)  # the signed timestamp has whole seconds, and the same bytes are the same delivery
    around.send_webhook(ticket_id, delivery_id="the trigger's own")
    wait_for(lambda: len(around.jobs(ticket_id)) == 2)
    assert_one_note(around, ticket_id)


@pytest.mark.slow
def test_a_note_of_unknown_outcome_is_searched_after_the_deadline(around: World, quick: System) -> None:
    worker = quick.workers[0]
    subject = "VPN does not connect, last look"
    stored, refused = (around.create_ticket(f"{subject} {kind}", send_webhook=False) for kind in ("stored", "refused"))
    around.desk_fault(ticket_id=stored, tenant="acme", operation="add_note", kind="cut_after", times=1)
    around.desk_fault(ticket_id=refused, tenant="acme", operation="add_note", kind="silence", times=1)
    with (
        other_settings(quick, quick.api, {"JOB_DEADLINE_SECONDS": "7"}),
        other_settings(quick, worker, {"NOTE_SETTLE_SECONDS": "8"}),
    ):
        for ticket_id in (stored, refused):
            assert around.post_webhook(ticket_id).status_code == 202
        assert_one_note(around, stored)
        row = around.ended(refused)
        told = worker.output()
    assert (row["state"], row["reason"]) == ("failed", "ServiceDesk Plus API: note did not arrive")
    assert around.notes(refused) == []
    for ticket_id in (stored, refused):
        assert re.search(rf"ticket_id={ticket_id}, reason=[^;]+; will be looked for once more in 8s", told)
    assert len(around.gpt4_requests(subject)) == 2


@pytest.mark.slow
def test_a_model_that_is_down_does_not_keep_jobs_past_their_deadline(around: World, quick: System) -> None:
    around.openai_fault(kind="status", code=500)
    with other_settings(quick, quick.api, {"JOB_DEADLINE_SECONDS": "12"}):
        tickets = [around.create_ticket(f"VPN does not connect, model down {number}") for number in range(7)]
        rows = [around.ended(ticket_id, seconds=30) for ticket_id in tickets]
        around.clear_faults()
    assert {row["state"] for row in rows} == {"failed"}
    assert all((row["finished_at"] - row["accepted_at"]).total_seconds() < 16 for row in rows)
    told = quick.workers[0].output() + "".join(log_of(quick, one) for one in tickets)
    for row, ticket_id in zip(rows, tickets, strict=True):
        assert f"Task failed: job_id={row['id']}, ticket_id={ticket_id}, reason=" in told
    assert "; gave up at its deadline" in told


SECRET = "Blue-Kestrel-88"


def test_a_column_name_never_becomes_a_password_in_the_note(around: World) -> None:
    """One of the columns ID_1 to ID_20 has the number of the password's placeholder."""
    around.openai_fault(kind="columns")
    ticket_id = around.create_ticket("Export is empty", description=f"My password is {SECRET}.")
    assert_one_note(around, ticket_id)
    around.clear_faults()
    (note,) = around.notes(ticket_id)
    assert "Columns: " + ", ".join(f"ID_{number}" for number in range(1, 21)) in note
