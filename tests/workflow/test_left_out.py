"""Tickets excluded by a tenant's rules: calls, costs, stored data, later changes."""

from typing import Any

import pytest

from storage import history
from tests.kit import desk as desk_kit
from tests.kit.by_id import run_job
from tests.kit.desk import new_ticket, notes_of
from tests.kit.logs import StartLog
from tests.kit.runner import ANSWER
from tests.workflow.place import WorkSite, nothing_said_of_an_error, tenant
from workflow.kept_answers import Kept, UnusableAnswer
from workflow.note import to_html

LEFT_OUT = ("skipped", "left out by the tenant's rules")
COPY = {"subject": "S", "description": "text of a ticket", "resolution": "R", "status": "Open"}


@pytest.mark.parametrize(
    ("only", "never", "event"),
    [
        ("event:ticket.created", "", "ticket.updated"),
        ("", "event:ticket.updated", "ticket.updated"),
        ("event:ticket.created", "", None),
    ],
)
async def test_an_event_that_is_left_out_ends_its_job_before_the_desk_is_called(
    place: WorkSite, start_log: StartLog, only: str, never: str, event: str | None
) -> None:
    place.tenant = tenant(only, never)
    ticket_id = new_ticket(place.desks)
    with nothing_said_of_an_error(start_log) as lines:
        job_id = await place.job(ticket_id, event=event)
        assert await place.run(job_id) == LEFT_OUT
    said = f"Task skipped: job_id={job_id}, ticket_id={ticket_id}, reason=left out by the tenant's rules"
    assert [said in line for line in lines].count(True) == 1
    assert (place.desks.requests(ticket_id=ticket_id), place.paid()) == ([], 0)
    # Another event of the same ticket is not a duplicate.
    assert await place.run(await place.job(ticket_id, event="Ticket.Created")) == ("completed", None)


@pytest.mark.parametrize(
    ("rules", "left_out", "mended", "copies_left"),
    [
        ({"never": "group:HR"}, {"group": "hr"}, {"group": "Network"}, False),
        ({"never": "template:Dismissal"}, {"template": "Dismissal"}, {"template": "Default Request"}, False),
        ({"only": "category:Network"}, {"category": "Printers"}, {"category": "Network"}, True),
        ({"only": "group:Network"}, {}, {"group": "Network"}, True),
    ],
)
async def test_a_ticket_that_is_left_out_costs_one_reading_until_it_is_wanted(
    place: WorkSite, rules: Any, left_out: Any, mended: Any, copies_left: bool
) -> None:
    """Its stored data is deleted; a later webhook or retry by hand is checked again."""
    place.tenant = tenant(**rules)
    ticket_id = new_ticket(place.desks, **left_out)
    await history.save_ticket(place.store.database, "acme", {"ticket_id": ticket_id, **COPY})
    before, first = await place.job(ticket_id), await place.job(ticket_id)
    place.store.table.change(before, state="failed", finished_at="now()", enhancement=ANSWER.model_dump_json())
    assert await place.run(first) == LEFT_OUT
    calls = [call["operation"] for call in place.desks.requests(ticket_id=ticket_id)]
    assert (calls, place.paid()) == (["read_ticket"], 0)
    row = place.store.table.job(first)
    assert (row["enhancement"], row["requester"]) == (None, None)
    assert place.copies() == ([ticket_id] if copies_left else [])
    assert (place.store.table.job(before)["enhancement"] is not None) is copies_left
    place.desks.change("PATCH", f"/tickets/acme/{ticket_id}", **mended)
    assert await place.run(await place.job(ticket_id)) == ("completed", None)
    assert (len(notes_of(place.desks, ticket_id)), place.paid()) == (1, 1)


@pytest.mark.parametrize(("group", "answers"), [("hr", True), (None, True), ("network", True), ("hr", False)])
async def test_a_copy_from_before_the_rule_is_told_to_no_other_ticket(
    place: WorkSite, group: str | None, answers: bool
) -> None:
    """No sync has run since. A copy with an unknown group may be HR's."""
    place.tenant = tenant(never="group:HR")
    about = {"subject": "Scanner jams twice", "description": "Scanner jams at the second page."}
    kinds = None if group is None else {"group": group}
    await history.save_ticket(place.store.database, "acme", {"ticket_id": "88", **COPY, **about}, kinds=kinds)
    ticket_id = new_ticket(place.desks, "onpremises", **about)
    if not answers:
        place.model.order(kind="status", code=400, param="model", times=9)
    async with place.runner(failure_note=True) as runner:
        assert await run_job(runner, await place.job(ticket_id))
    (note,) = notes_of(place.desks, ticket_id)
    assert ("#88" in note["description"]) is (group == "network")


@pytest.mark.parametrize("seen", [None, "now()"], ids=["unseen", "seen open lately"])
async def test_a_ticket_that_was_moved_since_gpt4_answered_gets_no_note(seen: str | None, place: WorkSite) -> None:
    """A held-back or retried job has an answer; an open ticket shows no group."""
    place.tenant = tenant(never="group:HR")
    ticket_id = new_ticket(place.desks, group="HR")
    job_id = await place.job(ticket_id)
    place.store.table.change(job_id, enhancement=ANSWER.model_dump_json(), model="m", started_at="now()")
    if seen:
        place.store.table.change(job_id, seen_open_at=seen)
    await place.answers.put(Kept.ANSWER, job_id, ({"summary": "text of a ticket"}, "m"))
    assert await place.run(job_id) == LEFT_OUT
    assert place.store.table.job(job_id)["enhancement"] is None
    assert await place.answers.get(Kept.ANSWER, job_id) is None
    assert notes_of(place.desks, ticket_id) == []


@pytest.mark.parametrize("there", [True, False])
async def test_a_note_that_may_be_there_is_looked_for_though_its_event_is_left_out_by_now(
    place: WorkSite, there: bool
) -> None:
    place.tenant = tenant(never="event:ticket.created")
    ticket_id = new_ticket(place.desks)
    job_id = await place.job(ticket_id)
    posted = {"enhancement": ANSWER.model_dump_json(), "note_attempted_at": "now() - interval '5 minutes'"}
    place.store.table.change(job_id, **posted)
    if there:
        async with desk_kit.opened(desk_kit.settings(place.desks.url)) as client:
            await client.add_note(ticket_id, to_html(ANSWER, job_id, "m"))
    assert await place.run(job_id) == (("completed", None) if there else LEFT_OUT)
    assert (place.store.table.job(job_id)["enhancement"] is None) is not there


@pytest.mark.parametrize("ends", ["skipped", "failed"])
async def test_what_placeholders_stand_for_goes_when_the_job_ends(ends: str, place: WorkSite) -> None:
    """An earlier attempt kept an answer for repair, and the job ends without it."""
    ticket_id = new_ticket(place.desks)
    job_id = await place.job(ticket_id)
    place.store.table.change(job_id, started_at="now()")
    await place.answers.put(Kept.UNUSABLE, job_id, UnusableAnswer("{", {"[PERSON_1]": "Zoë"}))
    if ends == "skipped":
        place.desks.change("PATCH", f"/tickets/acme/{ticket_id}", status="Closed")
    else:
        place.desks.order(kind="status", code=400, operation="read_ticket")
    assert (await place.run(job_id))[0] == ends
    assert await place.answers.get(Kept.UNUSABLE, job_id) is None
