"""Jobs at the limit of attempts or time: the note in the ticket decides."""

import re

import pytest

from devstack.system import System
from tests.kit.system import other_settings
from tests.kit.world import World
from tests.system.outcomes import assert_one_note, log_of


@pytest.mark.slow
def test_a_note_of_unknown_outcome_is_looked_for_though_no_time_is_left(around: World, quick: System) -> None:
    """The desk stores the note and disconnects right before the deadline: completed."""
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
    """Held back or failed, each ends in time with a reason; a waiting one is logged."""
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
