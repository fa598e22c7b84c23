"""Jobs at the end of their attempts or their time: what is in the ticket decides, not the limit."""

import re

import pytest

from devstack.system import System
from tests.kit.world import World
from tests.system.outcomes import assert_one_note, log_of


@pytest.mark.slow
def test_a_note_of_unknown_outcome_is_looked_for_though_no_time_is_left(around: World, quick: System) -> None:
    """The desk stores the note and cuts the connection right before the job's deadline: completed, not failed."""
    worker = quick.workers[0]
    quick.restart(quick.api, {"JOB_DEADLINE_SECONDS": "7"})
    quick.restart(worker, {"NOTE_SETTLE_SECONDS": "8"})
    subject = "VPN does not connect, last look"
    stored, refused = (around.create_ticket(f"{subject} {kind}", send_webhook=False) for kind in ("stored", "refused"))
    around.desk_fault(ticket_id=stored, tenant="acme", operation="add_note", kind="cut_after", times=1)
    around.desk_fault(ticket_id=refused, tenant="acme", operation="add_note", kind="silence", times=1)
    for ticket_id in (stored, refused):
        assert around.post_webhook(ticket_id).status_code == 202
    assert_one_note(around, stored)
    row = around.ended(refused)
    assert (row["state"], row["reason"]) == ("failed", "ServiceDesk Plus API: note did not arrive")
    assert around.notes(refused) == []
    told = worker.log_path.read_text(encoding="utf-8")
    for ticket_id in (stored, refused):
        assert re.search(rf"ticket_id={ticket_id}, reason=[^;]+; will be looked for once more in 8s", told)
    assert len(around.gpt4_requests(subject)) == 2
    quick.restart(quick.api, {"JOB_DEADLINE_SECONDS": "1800"})


@pytest.mark.slow
def test_a_model_that_is_down_does_not_keep_jobs_past_their_deadline(around: World, quick: System) -> None:
    """Held back by the breaker or failed by the model: each ends in its time, with a reason; one that waits is told."""
    quick.restart(quick.api, {"JOB_DEADLINE_SECONDS": "12"})
    quick.restart(quick.workers[0])
    around.openai_fault(kind="status", code=500)
    tickets = [around.create_ticket(f"VPN does not connect, model down {number}") for number in range(7)]
    rows = [around.ended(ticket_id, seconds=30) for ticket_id in tickets]
    around.clear_faults()
    quick.restart(quick.api, {"JOB_DEADLINE_SECONDS": "1800"})
    assert {row["state"] for row in rows} == {"failed"}
    assert all((row["finished_at"] - row["accepted_at"]).total_seconds() < 16 for row in rows)
    told = quick.workers[0].log_path.read_text(encoding="utf-8") + "".join(log_of(quick, one) for one in tickets)
    for row, ticket_id in zip(rows, tickets, strict=True):
        assert f"Task failed: job_id={row['id']}, ticket_id={ticket_id}, reason=" in told
    assert "; gave up at its deadline" in told
