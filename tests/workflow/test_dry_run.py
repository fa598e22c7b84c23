"""A tenant's dry run: paid and stored answers, and going live."""

import json
from dataclasses import replace

import pytest

from config.tenants import Tenant
from storage import by_hand
from tests.kit.by_id import run_job
from tests.kit.desk import new_ticket, notes_of
from tests.kit.logs import StartLog
from tests.kit.postgres import DEADLINE
from tests.workflow.place import WorkSite, nothing_said_of_an_error, tenant


async def test_a_dry_run_pays_and_keeps_the_answer_and_going_live_posts_it_unpaid(
    place: WorkSite, start_log: StartLog
) -> None:
    place.tenant = tenant(dry_run=True)
    ticket_id = new_ticket(place.desks)
    with nothing_said_of_an_error(start_log) as lines:
        job_id = await place.job(ticket_id)
        assert await place.run(job_id) == ("skipped", "dry run")
    said = f"Task skipped: job_id={job_id}, ticket_id={ticket_id}, reason=dry run"
    assert [said in line for line in lines].count(True) == 1
    row = place.store.table.job(job_id)
    assert (row["note_attempted_at"], row["finished_at"] is None, place.paid()) == (None, False, 1)
    assert notes_of(place.desks, ticket_id) == []
    place.tenant = tenant()
    await by_hand.retry(place.store.database, job_id, DEADLINE)
    assert await place.run(job_id) == ("completed", None)
    (note,) = notes_of(place.desks, ticket_id)
    assert (row["enhancement"]["summary"] in note["description"], place.paid()) == (True, 1)


async def test_after_a_dry_run_a_new_webhook_of_the_ticket_is_enhanced(place: WorkSite) -> None:
    place.tenant = tenant(dry_run=True)
    ticket_id = new_ticket(place.desks)
    assert await place.run(await place.job(ticket_id)) == ("skipped", "dry run")
    place.tenant = tenant()
    assert await place.run(await place.job(ticket_id)) == ("completed", None)
    assert await place.run(await place.job(ticket_id)) == ("skipped", "already enhanced")


async def test_a_dry_run_pays_once_a_ticket_while_its_answer_is_kept(place: WorkSite) -> None:
    """Each answer can be posted by hand; of two, one becomes the ticket's note."""
    place.tenant = tenant(dry_run=True)
    ticket_id = new_ticket(place.desks)
    first, second, third = [await place.job(ticket_id) for _ in range(3)]
    assert await place.run(first) == ("skipped", "dry run")
    assert await place.run(second) == ("skipped", "already enhanced")
    shown = [await by_hand.details(place.store.database, job_id) for job_id in (first, second)]
    assert [job and job.dry_run_job for job in shown] == [None, first]
    row = place.store.table.job(first)
    place.store.table.change(first, enhancement=None)
    assert await place.run(third) == ("skipped", "dry run")
    assert place.paid() == 2
    await by_hand.retry(place.store.database, second, DEADLINE)
    assert await place.run(second) == ("skipped", "dry run")
    assert place.paid() == 3

    place.tenant = tenant()
    place.store.table.change(first, enhancement=json.dumps(row["enhancement"]))
    for job_id in (second, first):
        await by_hand.retry(place.store.database, job_id, DEADLINE)
    assert await place.run(first) == ("waiting", "another job of this ticket")
    assert await place.run(second) == ("completed", None)
    place.store.table.change(first, due_at="now()")
    assert await place.run(first) == ("skipped", "already enhanced")
    assert (len(notes_of(place.desks, ticket_id)), place.paid()) == (1, 3)


@pytest.mark.parametrize("wishes", [tenant(dry_run=True), tenant(never="group:HR")], ids=["dry run", "left out since"])
async def test_neither_a_dry_run_nor_a_left_out_ticket_has_a_failure_note(place: WorkSite, wishes: Tenant) -> None:
    ticket_id = new_ticket(place.desks)
    place.model.order(kind="status", code=400, param="model", times=9)
    job_id = await place.job(ticket_id)
    async with place.runner(failure_note=True) as runner:

        def wishes_of(_: str) -> Tenant:
            return wishes if place.paid() else tenant()

        if not wishes.dry_run:
            place.desks.change("PATCH", f"/tickets/acme/{ticket_id}", group="HR")
        assert await run_job(replace(runner, wishes_of=wishes_of), job_id)
    row = place.store.table.job(job_id)
    assert (row["state"], row["failure_noted_at"]) == ("failed", None)
    assert notes_of(place.desks, ticket_id) == []
