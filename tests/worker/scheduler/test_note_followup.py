"""Follow-up of notes: uptake, triage, resolution time, reopened tickets, removed notes."""

import io
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from config.tenants import Tenant
from integrations.errors import DeskUnavailableError
from integrations.values import DeskTicket
from jobs import missed_webhooks
from jobs.repository import SEEN_REOPENED
from tests.kit.postgres import Store
from tests.knowledge.site import Site, resolve
from tests.worker.scheduler.comparison import told
from worker.scheduler.missed_webhooks import MAX_CHECKED_NOTES, report_removed_notes
from workflow.answer import Content
from workflow.note import to_html
from workflow.note_followup import NoteFollowUp

STEPS = ["Reset the WAN miniport in the device manager.", "Dial again."]
RESOLUTION = "<p>Reset the WAN miniport in the device manager. Also replaced the cable.</p>"


async def noted(store: Store, ticket_id: str, **columns: Any) -> Any:
    answer = json.dumps({"next_steps": STEPS, "prompt": "7"})
    done = {"state": "completed", "model": "m", "enhancement": answer, "finished_at": "now()"}
    return await store.accept(ticket_id=ticket_id, **done | columns)


def measured(store: Store) -> dict[str, float | None]:
    found = store.table.run("SELECT j.ticket_id, f.taken_up FROM feedback f JOIN jobs j ON j.id = f.job_id")
    return {row["ticket_id"]: row["taken_up"] for row in found}


async def test_a_note_is_measured_once_its_ticket_is_closed_with_a_resolution(site: Site, store: Store) -> None:
    closed, open_still, silent, without_note = (site.new_ticket(subject="VPN is down") for _ in range(4))
    for ticket_id in (closed, open_still, silent):
        await noted(store, ticket_id)
    for ticket_id in (closed, open_still, without_note):
        resolve(site, ticket_id, RESOLUTION)
    for ticket_id in (closed, silent, without_note):
        site.change(ticket_id, status="Closed")
    await site.sync()
    (share,) = measured(store).values()
    assert list(measured(store)) == [closed]
    assert share is not None
    assert 0.5 < share < 1
    # Later edits do not count.
    resolve(site, closed, "<p>It was the firewall, the proxy and the router.</p>")
    site.change(closed, status="Resolved")
    await site.sync()
    assert measured(store) == {closed: share}


async def test_a_resolution_from_before_the_note_does_not_measure_it(site: Site, store: Store) -> None:
    """The ticket was closed, reopened, and closed again with an unchanged resolution."""
    ticket_id = site.new_ticket(subject="VPN is down")
    resolve(site, ticket_id, RESOLUTION)
    for status in ("Closed", "Open"):
        site.change(ticket_id, status=status)
        await site.sync()
    await noted(store, ticket_id)
    # It is read once more while it is open, too.
    for status in ("In Progress", "Closed"):
        site.change(ticket_id, status=status)
        await site.sync()
    assert measured(store) == {}
    resolve(site, ticket_id, "<p>Reset the WAN miniport in the device manager again.</p>")
    site.change(ticket_id, status="Resolved")
    await site.sync()
    assert list(measured(store)) == [ticket_id]


async def test_an_answer_that_was_purged_or_failed_is_not_measured(site: Site, store: Store) -> None:
    for columns in ({"enhancement": None}, {"state": "failed"}, {"tenant_id": "globex"}):
        ticket_id = site.new_ticket(subject="VPN is down")
        await noted(store, ticket_id, **columns)
        resolve(site, ticket_id, RESOLUTION)
        site.change(ticket_id, status="Closed")
    await site.sync()
    assert measured(store) == {}


def suggesting(**values: str) -> str:
    suggestions = [{"field": name, "value": value} for name, value in values.items()]
    return json.dumps({"next_steps": STEPS, "prompt": "7", "suggestions": suggestions})


def triage(store: Store) -> list[tuple[bool | None, ...]]:
    found = store.table.run("SELECT category_matched AS c, priority_matched AS p, group_matched AS g FROM feedback")
    return [(row["c"], row["p"], row["g"]) for row in found]


async def test_suggestions_are_compared_with_the_closed_ticket(site: Site, store: Store) -> None:
    """Names are folded, an empty field does not match, and no resolution is needed."""
    ticket_id = site.new_ticket(subject="VPN is down", category="NETWORK  access")
    suggested = suggesting(category="Network Access", priority="High")
    await noted(store, ticket_id, enhancement=suggesting(group="Network"), finished_at="now() - interval '1 hour'")
    await noted(store, ticket_id, enhancement=suggested, refresh="asked")
    await noted(store, ticket_id, enhancement=suggested, tenant_id="globex")
    await site.sync()
    assert triage(store) == []
    await moved(site, ticket_id, "Closed", reopened=False)
    assert triage(store) == [(True, False, None)]
    # A later closing overwrites it.
    site.change(ticket_id, category="Printers", priority="High")
    await moved(site, ticket_id, "Open", "Closed", reopened=False)
    assert triage(store) == [(False, True, None)]
    # Without the answer, the last result stays.
    store.table.run("UPDATE jobs SET enhancement = NULL")
    site.change(ticket_id, priority="Low")
    await moved(site, ticket_id, "Open", "Closed", reopened=False)
    assert triage(store) == [(False, True, None)]


async def test_a_ticket_whose_display_id_is_this_id_is_another_one(site: Site, store: Store) -> None:
    """A desk that moved to the cloud has such numbers."""
    ticket_id = site.new_ticket(subject="VPN is down")
    await noted(store, ticket_id, enhancement=suggesting(category="Network"), desk_id="1000055", display_id=ticket_id)
    resolve(site, ticket_id, RESOLUTION)
    site.change(ticket_id, status="Closed")
    await site.sync()
    assert (triage(store), measured(store)) == ([], {})
    (row,) = store.table.run("SELECT seen_closed_at, resolution_seconds FROM jobs")
    assert list(row.values()) == [None, None]


@pytest.mark.parametrize(
    "columns",
    [
        {"enhancement": suggesting()},
        {"enhancement": '{"suggestions": 3}'},
        {"enhancement": '{"suggestions": [3, {}, {"field": "site", "value": "a"}, {"field": "group", "value": null}]}'},
        {"enhancement": None},
        {"state": "failed", "enhancement": suggesting(category="Network")},
    ],
)
async def test_without_a_note_with_a_suggestion_nothing_is_compared(
    columns: dict[str, Any], site: Site, store: Store
) -> None:
    ticket_id = site.new_ticket(subject="VPN is down", category="Network")
    await noted(store, ticket_id, **columns)
    await moved(site, ticket_id, "Closed")
    assert triage(store) == []


async def test_the_resolution_time_of_a_closed_ticket_is_stored_in_its_jobs(site: Site, store: Store) -> None:
    ticket_id, open_still = (site.new_ticket(subject="VPN is down") for _ in range(2))
    ours = [
        await store.accept(ticket_id="9124", desk_id=ticket_id, state="failed", finished_at="now()"),
        await store.accept(ticket_id=ticket_id, state="skipped", reason="dry run", finished_at="now()"),
    ]
    await store.accept(ticket_id=ticket_id, tenant_id="globex")
    # Another ticket, whose visible number is this one's id.
    await store.accept(ticket_id=ticket_id, desk_id="77")
    await store.accept(ticket_id=open_still)
    await site.sync()
    await moved(site, ticket_id, "Closed")
    ticket = await site.client.read_ticket(ticket_id)
    assert ticket.created_at is not None
    assert ticket.closed_at is not None
    lasted = (ticket.closed_at - ticket.created_at).total_seconds()
    found = store.table.run("SELECT id, resolution_seconds FROM jobs WHERE resolution_seconds IS NOT NULL")
    assert {row["id"]: row["resolution_seconds"] for row in found} == dict.fromkeys(ours, lasted)
    # An unchanged one is not written again.
    versions = store.table.run("SELECT xmin::text AS x FROM jobs ORDER BY id")
    await NoteFollowUp(store.database, 1800).on_read(Tenant("acme"), ticket, 0)
    assert store.table.run("SELECT xmin::text AS x FROM jobs ORDER BY id") == versions
    later = replace(ticket, closed_at=ticket.closed_at + timedelta(hours=1))
    await NoteFollowUp(store.database, 1800).on_read(Tenant("acme"), later, 0)
    assert store.table.job(ours[0])["resolution_seconds"] == lasted + 3600


NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("created_at", "closed_at", "seconds"),
    [
        (NOON, NOON + timedelta(hours=2), 7200),
        (NOON, NOON, 0),
        (NOON, NOON - timedelta(seconds=1), None),
        (None, NOON, None),
        (NOON, None, None),
    ],
)
async def test_a_resolution_time_that_is_unknown_or_negative_is_not_stored(
    created_at: datetime | None, closed_at: datetime | None, seconds: float | None, store: Store
) -> None:
    ticket = DeskTicket("124", "S", "", "", "", "Closed", "", closed=True, created_at=created_at, closed_at=closed_at)
    job_id = await store.accept(ticket_id="124", state="failed")
    await NoteFollowUp(store.database, 1800).on_read(Tenant("acme"), ticket, 0)
    assert store.table.job(job_id)["resolution_seconds"] == seconds


SKIPPED: dict[str, Any] = {"is_closed": True, "state": "skipped", "reason": "ticket deleted or closed"}


async def with_job(site: Site, store: Store, *, is_closed: bool = False, **columns: Any) -> str:
    ticket_id = site.new_ticket(subject="VPN is down")
    if is_closed:
        site.change(ticket_id, status="Closed")
    await store.accept(ticket_id=ticket_id, **{"state": "completed", "finished_at": "now()"} | columns)
    await site.sync()
    return ticket_id


async def moved(site: Site, ticket_id: str, *statuses: str, **wishes: Any) -> None:
    for status in statuses:
        site.change(ticket_id, status=status)
        await site.sync(**wishes)


def asked(store: Store) -> list[dict[str, Any]]:
    """Return the jobs that no webhook requested."""
    return store.table.run("SELECT * FROM jobs WHERE event = %s ORDER BY id", SEEN_REOPENED)


@pytest.mark.usefixtures("spans")
async def test_a_ticket_that_is_open_again_gets_a_job(site: Site, store: Store, log: io.StringIO) -> None:
    ticket_id = await with_job(site, store)
    await moved(site, ticket_id, "Closed")
    assert asked(store) == []
    await moved(site, ticket_id, "Open")
    (job,) = asked(store)
    assert (job["tenant_id"], job["ticket_id"], job["state"]) == ("acme", ticket_id, "waiting")
    assert job["published_at"] is None
    line = f"Refresh asked for: job_id={job['id']}, ticket_id={ticket_id}, reason={SEEN_REOPENED} |"
    assert line in log.getvalue()
    # Its trace begins here.
    assert job["traceparent"].split("-")[1] in log.getvalue()


@pytest.mark.parametrize(
    ("columns", "statuses", "wishes"),
    [
        ({"state": "failed"}, ("Closed", "Open"), {}),
        ({"tenant_id": "globex"}, ("Closed", "Open"), {}),
        ({}, ("On Hold", "Open"), {}),
        (SKIPPED | {"reason": "left out by the tenant's rules"}, ("Open",), {"recovers": True}),
        (SKIPPED | {"reason": "held out for comparison"}, ("Closed", "Open"), {"recovers": True}),
        (SKIPPED | {"state": "failed", "reason": "deadline passed"}, ("Open",), {"recovers": True}),
        (SKIPPED | {"finished_at": "now() - interval '25 hours'"}, ("Open",), {"recovers": True}),
        (SKIPPED | {"tenant_id": "globex"}, ("Open",), {"recovers": True}),
    ],
)
async def test_one_without_a_note_or_never_closed_or_of_another_skip_gets_none(
    columns: dict[str, Any], statuses: tuple[str, ...], wishes: dict[str, bool], site: Site, store: Store
) -> None:
    await moved(site, await with_job(site, store, **columns), *statuses, **wishes)
    assert asked(store) == []


async def test_a_tenant_that_wants_none_gets_none_later_either(site: Site, store: Store) -> None:
    ticket_id = await with_job(site, store)
    await moved(site, ticket_id, "Closed")
    await moved(site, ticket_id, "Open", reopened=False)
    await moved(site, ticket_id, "On Hold")
    assert asked(store) == []


@pytest.mark.parametrize("state", ["completed", "skipped", "failed"])
async def test_one_reopening_makes_one_job_whatever_comes_of_it(state: str, site: Site, store: Store) -> None:
    ticket_id = await with_job(site, store)
    await moved(site, ticket_id, "Closed", "Open", "On Hold")
    (job,) = asked(store)
    store.table.change(job["id"], state=state, finished_at="now()", refresh="reopened")
    await moved(site, ticket_id, "Open", "On Hold")
    assert asked(store) == [store.table.job(job["id"])]
    await moved(site, ticket_id, "Closed", "Open")
    assert len(asked(store)) == 2


async def test_a_ticket_that_is_closed_while_its_note_is_made_is_known_to_be(site: Site, store: Store) -> None:
    lasts: dict[str, Any] = {"lease_until": "now() + interval '1 hour'", "started_at": "now() - interval '1 minute'"}
    ticket_id = await with_job(site, store, state="running", finished_at=None, **lasts)
    await moved(site, ticket_id, "Closed")
    store.table.run("UPDATE jobs SET state = 'completed', finished_at = now()")
    await moved(site, ticket_id, "Open")
    assert len(asked(store)) == 1


async def test_data_read_before_the_note_does_not_reopen_it(site: Site, store: Store) -> None:
    """The ticket was reopened and noted between the desk's answer and this."""
    ticket_id = site.new_ticket(subject="VPN is down")
    site.change(ticket_id, status="Closed")
    closed = await site.client.read_ticket(ticket_id)
    job_id = await store.accept(ticket_id=ticket_id, state="completed", finished_at="now()")
    await NoteFollowUp(store.database, 1800).on_read(Tenant("acme"), closed, 60)
    assert store.table.job(job_id)["seen_closed_at"] is None
    await NoteFollowUp(store.database, 1800).on_read(Tenant("acme"), closed, 0)
    assert store.table.job(job_id)["seen_closed_at"] is not None


async def test_a_number_of_people_that_is_another_tickets_id_is_not_taken_for_it(store: Store) -> None:
    shown_as_7 = DeskTicket("124", "VPN is down", "", "", "", "Closed", "", closed=True, display_id="7")
    done: dict[str, Any] = {"state": "completed", "finished_at": "now() - interval '1 minute'"}
    ours, other = [await store.accept(ticket_id=number, **done) for number in ("124", "7")]
    await NoteFollowUp(store.database, 1800).on_read(Tenant("acme"), shown_as_7, 0)
    assert store.table.job(ours)["seen_closed_at"] is not None
    assert store.table.job(other)["seen_closed_at"] is None


async def test_one_open_again_after_a_skip_is_told_of_once(site: Site, store: Store, log: io.StringIO) -> None:
    ticket_id = await with_job(site, store, **SKIPPED)
    await moved(site, ticket_id, "Open", "On Hold", "Open")
    (line,) = [line for line in log.getvalue().splitlines() if "Ticket reopened after a skip" in line]
    assert f"ticket_id={ticket_id}, reconcile=report" in line
    assert "error" not in line.lower()
    assert asked(store) == []
    (event,) = store.table.run("SELECT what FROM job_events WHERE what <> 'accepted'")
    assert event["what"] == "seen open again"


async def test_a_missing_job_of_a_reopened_ticket_is_made_again(site: Site, store: Store) -> None:
    """The tenant enabled it after the ticket was told of, or housekeeping died in between."""
    ticket_id = await with_job(site, store, **SKIPPED)
    await moved(site, ticket_id, "Open")
    await moved(site, ticket_id, "On Hold", "Open", recovers=True)
    (job,) = asked(store)
    assert (job["ticket_id"], job["state"]) == (ticket_id, "waiting")
    assert store.table.run("SELECT count(*) FROM job_events WHERE what = 'seen open again'") == [{"count": 1}]
    store.table.change(job["id"], state="skipped", reason="ticket deleted or closed", finished_at="now()")
    await moved(site, ticket_id, "Closed", "Open", recovers=True)
    assert len(asked(store)) == 2


async def enhanced(site: Site, store: Store, **columns: Any) -> str:
    ticket_id = site.new_ticket()
    done = {"state": "completed", "note_attempted_at": "now()", "finished_at": "now() - interval '20 minutes'"}
    job_id = await store.accept(ticket_id=ticket_id, **done | columns)
    html = to_html(Content(summary="s"), job_id, "m")
    store.table.change(job_id, note_id=await site.client.add_note(ticket_id, html))
    return ticket_id


async def look(site: Site) -> int:
    """Run a look as a round does, the first one for a day's notes; return the number of desk calls."""
    before = len(site.desk.requests())
    if await missed_webhooks.load(site.database, "acme") is None:
        await missed_webhooks.begin(site.database, "acme", datetime.now(UTC))
        site.table.run("UPDATE reconciliations SET notes_until = now() - interval '1 day'")
    state = await missed_webhooks.load(site.database, "acme")
    assert state is not None

    async def turn() -> None:
        """At once."""

    await report_removed_notes(site.database, site.client, "acme", turn, after=state.notes_until, now=state.now)
    return len(site.desk.requests()) - before


async def test_a_note_that_is_there_costs_one_call_and_no_word(site: Site, store: Store, log: io.StringIO) -> None:
    await enhanced(site, store)
    assert [await look(site) for _ in range(2)] == [1, 0]
    # Nor does a note under another id, or a ticket that is gone.
    site.delete(await enhanced(site, store))
    await enhanced(site, store)
    store.table.run("UPDATE jobs SET note_id = '987654'")
    site.table.run("UPDATE reconciliations SET notes_until = now() - interval '1 day'")
    await look(site)
    assert log.getvalue() == ""


async def test_one_that_was_removed_is_told_once(site: Site, store: Store, log: io.StringIO) -> None:
    ticket_id = await enhanced(site, store)
    site.desk.change("DELETE", f"/tickets/acme/{ticket_id}/notes")
    for _ in range(2):
        await look(site)
    (line,) = told(log, "Note removed")
    (job,) = store.table.run("SELECT id, state FROM jobs")
    assert f"Note removed: job_id={job['id']}, ticket_id={ticket_id}" in line
    assert (job["state"], " warning " in line) == ("completed", True)
    assert site.table.run("SELECT notes_removed FROM reconciliations") == [{"notes_removed": 1}]


async def test_a_few_of_the_newest_settled_ones_are_looked_for(site: Site, store: Store, log: io.StringIO) -> None:
    tickets = [
        await enhanced(site, store, finished_at=f"now() - interval '{minutes} minutes'") for minutes in (40, 30, 20, 5)
    ]
    for ticket_id in tickets:
        site.desk.change("DELETE", f"/tickets/acme/{ticket_id}/notes")
    await look(site)
    assert [f"ticket_id={ticket_id}" in log.getvalue() for ticket_id in tickets] == [False, True, True, False]
    assert MAX_CHECKED_NOTES == 2
    site.table.run("UPDATE jobs SET finished_at = finished_at - interval '12 minutes'")
    site.table.run("UPDATE reconciliations SET notes_until = notes_until - interval '12 minutes'")
    await look(site)
    assert f"ticket_id={tickets[3]}" in log.getvalue()


async def test_it_is_told_once_though_the_desk_fails_at_the_next(site: Site, store: Store, log: io.StringIO) -> None:
    removed = await enhanced(site, store, finished_at="now() - interval '30 minutes'")
    fails = await enhanced(site, store)
    for ticket_id in (removed, fails):
        site.desk.change("DELETE", f"/tickets/acme/{ticket_id}/notes")
    site.desk.order(kind="status", code=503, times=9, ticket_id=fails)
    for _ in range(2):
        with pytest.raises(DeskUnavailableError):
            await look(site)
    assert len(told(log, "Note removed")) == 1
    assert site.table.run("SELECT notes_removed FROM reconciliations") == [{"notes_removed": 1}]
    site.desk.forget()
    await look(site)
    assert len(told(log, "Note removed")) == 2
