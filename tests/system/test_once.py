"""One enhancement a ticket, although a desk may fire on each change and note."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from devstack.system import System
from tests.kit.world import World, wait_for
from tests.system.by_hand import on
from tests.system.outcomes import assert_one_note

ENDED = ("completed", "skipped", "failed")


@pytest.fixture
def talkative(around: World) -> Iterator[World]:
    """Make a desk send a webhook at each change of a ticket."""
    around.configure_desk(webhook_on_update=True)
    yield around
    around.configure_desk(webhook_on_update=False)


def ended(world: World, ticket_id: str, count: int) -> list[dict[str, Any]]:
    """Wait until the desk has posted `count` webhooks and their jobs have ended.

    Return the jobs, oldest first.
    """

    def all_of_them() -> bool:
        with world.admin() as connection:
            # A held-back job need not wait here for its time.
            connection.execute("UPDATE jobs SET due_at = now() WHERE state = 'waiting' AND due_at > now()")
        rows = world.jobs(ticket_id)
        return len(rows) == count and all(row["state"] in ENDED for row in rows)

    wait_for(all_of_them)
    return world.jobs(ticket_id)


def test_our_own_note_makes_no_second_job_of_a_desk_that_fires_on_every_update(talkative: World, quick: System) -> None:
    """Each webhook is accepted, and its job is skipped before anything is paid.

    An operator may still request a note.
    """
    subject = "VPN does not connect, told at each change"
    ticket_id = talkative.create_ticket(subject)
    first, second = ended(talkative, ticket_id, 2)
    assert [(row["state"], row["reason"]) for row in (first, second)] == [
        ("completed", None),
        ("skipped", "already enhanced"),
    ]
    talkative.change_ticket(ticket_id, subject=f"{subject} (edited)")
    # The loop is over: no further webhook is sent.
    third = ended(talkative, ticket_id, 3)[2]
    time.sleep(1.5)
    assert len(talkative.jobs(ticket_id)) == 3
    assert (third["state"], third["reason"]) == ("skipped", "already enhanced")
    assert {delivery["status"] for delivery in talkative.deliveries(ticket_id)} == {202}
    assert len(talkative.notes(ticket_id)) == 1
    assert len(talkative.gpt4_requests(subject)) == 1
    told = quick.workers[0].log_path.read_text(encoding="utf-8")
    skipped = f"Task skipped: job_id={second['id']}, ticket_id={ticket_id}, reason=already enhanced"
    assert skipped in told

    assert on(quick, "retry", str(third["id"])).returncode == 0
    wait_for(lambda: len(talkative.notes(ticket_id)) == 2)


@pytest.mark.slow
def test_a_note_that_the_desk_stores_without_saying_so_makes_no_second_job(talkative: World) -> None:
    """Reads fail too: the first job fails, its note exists, its webhook was sent."""
    subject = "VPN does not connect, stored and denied"
    ticket_id = talkative.create_ticket(subject, send_webhook=False)
    for fault in (
        {"operation": "add_note", "kind": "html", "performed": True},
        {"operation": "list_notes", "code": 403},
    ):
        talkative.desk_fault(**{"ticket_id": ticket_id, "tenant": "acme", "kind": "status"} | fault)
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
    told = quick.workers[0].log_path.read_text(encoding="utf-8")
    assert f"ticket_id={ticket_id}, reason=another job of this ticket, held back for 15s" in told


def test_a_ticket_that_was_closed_and_is_open_again_can_be_sent_again(around: World) -> None:
    """The same delivery, signed again: its first job has no note: no duplicate."""
    ticket_id = around.create_ticket(send_webhook=False)
    around.change_ticket(ticket_id, status="Closed")
    around.send_webhook(ticket_id, delivery_id="the trigger's own")
    assert around.ended(ticket_id)["state"] == "skipped"
    around.change_ticket(ticket_id, status="Open")
    time.sleep(1.1)  # the signed timestamp has whole seconds, and the same bytes are the same delivery
    around.send_webhook(ticket_id, delivery_id="the trigger's own")
    wait_for(lambda: len(around.jobs(ticket_id)) == 2)
    assert_one_note(around, ticket_id)
