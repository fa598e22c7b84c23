"""Notes that a job's row has and its ticket lacks: logged once, not replaced."""

import io
from datetime import UTC, datetime
from typing import Any

import pytest

from housekeeping.removed_notes import MOST_LOOKED_FOR, look_for_notes
from integrations.errors import DeskUnavailable
from storage import reconciling
from tests.housekeeping.comparing import told
from tests.housekeeping.site import Site
from tests.kit.logs import StartLog
from tests.kit.postgres import Store
from workflow.answer import Content
from workflow.note import to_html

DONE: dict[str, Any] = {
    "state": "completed",
    "note_attempted_at": "now()",
    "finished_at": "now() - interval '20 minutes'",
}


@pytest.fixture
def stream(start_log: StartLog) -> io.StringIO:
    return start_log()


async def enhanced(site: Site, store: Store, **columns: Any) -> str:
    ticket_id = site.new_ticket()
    job_id = await store.accept(ticket_id=ticket_id, **DONE | columns)
    html = to_html(Content(summary="s"), job_id, "m")
    store.table.change(job_id, note_id=await site.client.add_note(ticket_id, html))
    return ticket_id


async def look(site: Site) -> int:
    """Run a look as a round does; return the number of desk calls."""
    site.desk.forget()
    await look_at(site)
    return len(site.desk.requests())


async def look_at(site: Site) -> None:
    """Look at the desk; the first look covers the notes of a day."""
    if await reconciling.load(site.database, "acme") is None:
        await reconciling.begin(site.database, "acme", datetime.now(UTC))
        site.table.run("UPDATE reconciliations SET notes_until = now() - interval '1 day'")
    state = await reconciling.load(site.database, "acme")
    assert state is not None

    async def turn() -> None:
        """At once."""

    await look_for_notes(site.database, site.client, "acme", turn, after=state.notes_until, now=state.now)


async def test_a_note_that_is_there_costs_one_call_and_no_word(site: Site, store: Store, stream: io.StringIO) -> None:
    await enhanced(site, store)
    assert await look(site) == 1
    assert await look(site) == 0
    assert stream.getvalue() == ""


async def test_one_that_was_removed_is_told_once(site: Site, store: Store, stream: io.StringIO) -> None:
    ticket_id = await enhanced(site, store)
    site.desk.change("DELETE", f"/tickets/acme/{ticket_id}/notes")
    for _ in range(2):
        await look(site)
    (line,) = told(stream, "Note removed")
    (job,) = store.table.run("SELECT id, state FROM jobs")
    assert f"Note removed: job_id={job['id']}, ticket_id={ticket_id}" in line
    assert (job["state"], " warning " in line) == ("completed", True)
    assert site.table.run("SELECT notes_removed FROM reconciliations") == [{"notes_removed": 1}]


async def test_a_note_under_another_id_is_not_missed(site: Site, store: Store, stream: io.StringIO) -> None:
    await enhanced(site, store)
    store.table.run("UPDATE jobs SET note_id = '987654'")
    await look(site)
    assert stream.getvalue() == ""


async def test_a_ticket_that_is_gone_misses_none(site: Site, store: Store, stream: io.StringIO) -> None:
    site.delete(await enhanced(site, store))
    await look(site)
    assert told(stream, "Note removed") == []


async def test_a_few_of_the_newest_are_looked_for_and_those_of_just_now_later(
    site: Site, store: Store, stream: io.StringIO
) -> None:
    tickets = [
        await enhanced(site, store, finished_at=f"now() - interval '{minutes} minutes'") for minutes in (40, 30, 20, 5)
    ]
    for ticket_id in tickets:
        site.desk.change("DELETE", f"/tickets/acme/{ticket_id}/notes")
    await look(site)
    assert [f"ticket_id={ticket_id}" in stream.getvalue() for ticket_id in tickets] == [False, True, True, False]
    assert MOST_LOOKED_FOR == 2
    site.table.run("UPDATE jobs SET finished_at = finished_at - interval '12 minutes'")
    site.table.run("UPDATE reconciliations SET notes_until = notes_until - interval '12 minutes'")
    await look(site)
    assert f"ticket_id={tickets[3]}" in stream.getvalue()


async def test_what_was_told_is_not_told_again_though_the_desk_fails_at_the_next(
    site: Site, store: Store, stream: io.StringIO
) -> None:
    removed = await enhanced(site, store, finished_at="now() - interval '30 minutes'")
    fails = await enhanced(site, store)
    site.desk.change("DELETE", f"/tickets/acme/{removed}/notes")
    site.desk.order(kind="status", code=503, times=9, ticket_id=fails)
    for _ in range(2):
        with pytest.raises(DeskUnavailable):
            await look_at(site)
    assert len(told(stream, "Note removed")) == 1
    assert site.table.run("SELECT notes_removed FROM reconciliations") == [{"notes_removed": 1}]


async def test_what_the_desk_does_not_say_is_asked_again(site: Site, store: Store, stream: io.StringIO) -> None:
    ticket_id = await enhanced(site, store)
    site.desk.change("DELETE", f"/tickets/acme/{ticket_id}/notes")
    site.desk.order(kind="status", code=500, times=9)
    with pytest.raises(DeskUnavailable):
        await look_at(site)
    await look(site)
    assert len(told(stream, "Note removed")) == 1
