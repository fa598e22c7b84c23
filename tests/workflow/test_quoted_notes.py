"""Recognition of our notes by their whole form, not by quotes of them."""

from dataclasses import replace
from uuid import UUID

import pytest
from redis.asyncio import Redis

from integrations.servicedesk.client import ServiceDeskPlus
from storage.session import Database
from tests.kit.by_id import run_job
from tests.kit.desk import new_ticket, notes_of, opened, settings
from tests.kit.postgres import NewEvent, Store, Table, accept
from tests.kit.runner import ANSWER, runner_on
from tests.kit.simulators import Simulator
from workflow.kept_answers import AnswersInRedis
from workflow.note import marker, to_html

QUOTES = (
    "&gt; {note}",
    "On Monday Sam wrote:<br>{note}",
    "<blockquote>{note}</blockquote><p>Thanks, that was it.</p>",
    "{marker}",
    "Enhancement done by hand, see {marker}",
    "Fwd: {note} -- Sam",
)


async def unsettled(desk: ServiceDeskPlus, database: Database, table: Table, redis: Redis, job_id: UUID) -> None:
    """Run the attempt after one that may have posted the note some minutes ago."""
    earlier = {"note_attempted_at": "now() - interval '5 minutes'", "model": "gpt-6-luna"}
    table.change(job_id, **earlier, enhancement=ANSWER.model_dump_json())
    runner = replace(runner_on(desk, database, database), answers=AnswersInRedis(redis, 60))
    assert await run_job(runner, job_id)


@pytest.mark.parametrize("quote", QUOTES)
async def test_a_quote_of_a_note_does_not_complete_the_job(
    quote: str, database: Database, table: Table, new_event: NewEvent, desks: Simulator, redis: Redis
) -> None:
    """The note was lost, and a technician quoted it from a mail: it is posted again."""
    ticket_id = new_ticket(desks)
    job_id = await accept(database, new_event(ticket_id=ticket_id))
    ours = to_html(ANSWER, job_id, "gpt-6-luna")
    async with opened(settings(desks.url)) as desk:
        quoted = await desk.add_note(ticket_id, quote.format(note=ours, marker=marker(job_id)))
        await unsettled(desk, database, table, redis, job_id)
    row = table.job(job_id)
    assert row["state"] == "completed"
    assert row["note_id"] != quoted
    assert [note["description"] for note in notes_of(desks, ticket_id)][1:] == [ours]


@pytest.mark.parametrize("stored", ["{note}", "<html><body>\n{note}\n&nbsp;</body></html>", "<p>{note}</p><br/>"])
async def test_our_note_is_found_however_the_desk_wraps_it(
    stored: str, database: Database, table: Table, new_event: NewEvent, desks: Simulator, redis: Redis
) -> None:
    ticket_id = new_ticket(desks)
    job_id = await accept(database, new_event(ticket_id=ticket_id))
    async with opened(settings(desks.url)) as desk:
        there = await desk.add_note(ticket_id, stored.format(note=to_html(ANSWER, job_id, "gpt-6-luna")))
        await desk.add_note(ticket_id, "&gt; " + to_html(ANSWER, job_id, "gpt-6-luna"))
        await unsettled(desk, database, table, redis, job_id)
    row = table.job(job_id)
    assert (row["state"], row["note_id"]) == ("completed", there)
    assert len(notes_of(desks, ticket_id)) == 2


async def test_a_look_for_a_note_reads_those_since_the_attempt(desks: Simulator, redis: Redis, store: Store) -> None:
    """Each note is a call: only the newest three and those since the attempt are read."""
    ticket_id = new_ticket(desks)
    job_id = await store.accept(ticket_id=ticket_id)
    async with opened(settings(desks.url)) as desk:
        for number in range(9):
            await desk.add_note(ticket_id, f"<p>note {number}</p>")
        store.table.change(job_id, note_attempted_at="now() + interval '20 minutes'")
        runner = replace(runner_on(desk, store.database, store.database), answers=AnswersInRedis(redis, 60))
        assert await run_job(runner, job_id)
    assert store.table.job(job_id)["reason"] == "note may still arrive"
    assert len(desks.requests(operation="read_note")) == 3


@pytest.mark.parametrize("other", ["may have posted", "was accepted earlier"])
async def test_a_lost_note_is_not_posted_while_another_job_of_its_ticket_comes_first(
    other: str, desks: Simulator, redis: Redis, store: Store
) -> None:
    """A retry by hand may have started it, and its note may arrive as well."""
    ticket_id = new_ticket(desks)
    first = await store.accept(ticket_id=ticket_id)
    job_id = await store.accept(ticket_id=ticket_id)
    if other == "may have posted":
        store.table.change(first, note_attempted_at="now() - interval '20 seconds'", accepted_at="now()")
    async with opened(settings(desks.url)) as desk:
        await unsettled(desk, store.database, store.table, redis, job_id)
        row = store.table.job(job_id)
        assert (row["state"], row["reason"], row["attempt"]) == ("waiting", "another job of this ticket", 0)
        assert (row["note_attempted_at"], notes_of(desks, ticket_id)) == (None, [])
        store.table.change(first, state="completed", finished_at="now()")
        store.table.change(job_id, due_at="now()")
        assert await run_job(runner_on(desk, store.database, store.database), job_id)
    assert store.table.job(job_id)["reason"] == "already enhanced"
    assert notes_of(desks, ticket_id) == []


async def test_a_lost_note_is_not_posted_into_a_ticket_that_another_job_has_enhanced(
    desks: Simulator, redis: Redis, store: Store
) -> None:
    """Its own note is looked for first, and is not there."""
    ticket_id = new_ticket(desks)
    job_id, other = [await store.accept(ticket_id=ticket_id, dedupe_keys=(key,)) for key in ("one", "two")]
    store.table.change(other, state="completed", finished_at="now()")
    async with opened(settings(desks.url)) as desk:
        await unsettled(desk, store.database, store.table, redis, job_id)
    row = store.table.job(job_id)
    assert (row["state"], row["reason"]) == ("skipped", "already enhanced")
    assert notes_of(desks, ticket_id) == []
