"""Copies of one ticket or solution: conversations, numbers, knowledge base, use of notes, reopenings."""

import io
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from config.tenants import Tenant, TicketRules
from db.session import Database
from dev.simulators.servicedesk import create_desk
from integrations.values import DeskTicket
from jobs.repository import SEEN_REOPENED
from knowledge import repository
from knowledge.search import SearchInPostgres
from knowledge.sources import Synced, mind_reopening
from privacy import erasure, tombstones
from privacy.erasure import Which
from tests.kit.desk import new_ticket, notes_of, opened, settings
from tests.kit.postgres import Store, Table
from tests.kit.simulators import CLOUD, simulator_of
from tests.worker.scheduler.site import Site, resolve, site_of


def add(site: Site, title: str, description: str = "Ask the help desk.", topic: str = "General") -> str:
    values = {"title": title, "description": description, "topic": topic}
    return str(site.desk.change("POST", "/solutions/acme", **values)["id"])


def change(site: Site, solution_id: str, **values: object) -> None:
    site.desk.change("PATCH", f"/solutions/acme/{solution_id}", **values)


def bodies(site: Site) -> dict[str, str]:
    return {row["source_id"]: row["body"] for row in site.table.run("SELECT source_id, body FROM passages")}


@pytest.mark.parametrize("texts", [True, False])
async def test_one_that_is_changed_is_read_again(texts: bool, site: Site) -> None:
    """Within an hour; within a day where the list has the title alone."""
    site.set_desk(list_texts=texts)
    by_title, by_text, empty = add(site, "VPN"), add(site, "Printers"), add(site, "Empty", "")
    assert await site.sync() == Synced(0, 2, 0)
    change(site, by_title, title="VPN at home", description="New")
    change(site, by_text, description="New")
    site.hours_pass(1.1)
    assert await site.sync() == Synced(0, 1 + texts, 0)
    assert bodies(site) == {by_title: "New", by_text: "New" if texts else "Ask the help desk."}
    site.hours_pass(21)
    await site.sync()
    assert bodies(site) == {by_title: "New", by_text: "New"}
    # An empty text does not cause a reading each time.
    read = [call["path"].rpartition("/")[2] for call in site.desk.requests(operation="read_solution")]
    assert read.count(empty) == (2 if texts else 3) - 1


async def test_those_that_are_gone_or_not_approved_any_more_go_after_two_passes(site: Site) -> None:
    kept, deleted, withdrawn = add(site, "VPN"), add(site, "Printers"), add(site, "Mail")
    await site.sync()
    site.desk.change("DELETE", f"/solutions/acme/{deleted}")
    change(site, withdrawn, approved=False)
    for removed in (0, 2, 0):
        site.hours_pass(1.1)
        assert (await site.sync()).removed == removed
    assert bodies(site).keys() == {kept}


async def test_topics_that_are_not_used_are_not_copied_and_found_no_more(database: Database, table: Table) -> None:
    async with site_of(database, table, articles=8) as site:
        assert await site.sync() == Synced(0, 8, 0)
        search, words = SearchInPostgres(database, 2, least=0), ("scanner of type T00001", "")
        assert (await search.documents("acme", *words))[0].title.endswith("T00001")
        site.rules = TicketRules(never_topics=frozenset({"network"}))
        found = await search.documents("acme", *words, site.rules.never_topics)
        assert found
        assert not any(one.title.endswith("T00001") for one in found)
        site.hours_pass(1.1)
        assert (await site.sync()).removed == 4
        assert table.run("SELECT DISTINCT topic FROM passages") == [{"topic": "hardware"}]
        site.rules = TicketRules()
        site.hours_pass(1.1)
        assert (await site.sync()).passages == 4


@pytest.mark.parametrize("texts", [True, False])
async def test_an_expired_solution_is_not_copied_and_one_that_expires_is_found_no_more(texts: bool, site: Site) -> None:
    """It disappears before the next sync, and returns if the expiry is put off."""
    site.set_desk(list_texts=texts)
    for_ever, expired, expires = add(site, "Scanner T1"), add(site, "Scanner T2"), add(site, "Scanner T3")
    now = round(time.time() * 1000)
    change(site, expired, expiry_ms=now - 1000)
    change(site, expires, expiry_ms=now + 3_600_000)
    assert await site.sync() == Synced(0, 2, 0)
    assert bodies(site).keys() == {for_ever, expires}
    search = SearchInPostgres(site.database, 2, least=0)

    async def found() -> set[str]:
        return {one.title for one in await search.documents("acme", "Scanner", "")}

    assert await found() == {"Scanner T1", "Scanner T3"}
    site.table.run("UPDATE passages SET expires_at = now() WHERE source_id = %s", expires)
    assert await found() == {"Scanner T1"}
    assert (await site.sync()).removed == 1
    assert bodies(site).keys() == {for_ever}
    change(site, expires, expiry_ms=now + 7_200_000)
    site.hours_pass(1.1)
    assert (await site.sync()).passages == 1
    assert await found() == {"Scanner T1", "Scanner T3"}


def said(site: Site) -> list[str]:
    rows = site.table.run("SELECT conversation FROM tickets ORDER BY ticket_id::bigint")
    return [row["conversation"] for row in rows]


def send(site: Site, ticket_id: str, *texts: str) -> None:
    for text in texts:
        site.desk.change("POST", f"/tickets/acme/{ticket_id}/mails", text=text)


async def test_the_last_mails_of_a_closed_ticket_help_where_it_has_no_resolution(site: Site) -> None:
    closed, still_open = site.new_tickets(2)
    for ticket_id in (closed, still_open):
        mails = [f"<div>Try number {number}.</div>" for number in range(12)]
        send(site, ticket_id, *mails, "<p>Hello,</p><p>Unplug the dongle.</p><p>Kind regards</p>")
    site.change(closed, subject="The laptop beeps", status="Closed")
    assert (await site.sync()).tickets == 2
    assert said(site) == ["", ""]
    site.hours_pass(21)
    site.change(closed, status="Resolved")
    await site.sync(conversation=True)
    before = "\n\n".join(f"Try number {number}." for number in range(3, 12))
    assert said(site) == [f"{before}\n\nUnplug the dongle.", ""]
    assert len(site.desk.requests(operation="read_notification")) == 10
    (found,) = await SearchInPostgres(site.database, 2, least=0).similar_tickets("acme", "0", "Laptop beeps", "", {})
    assert found.resolution.endswith("Unplug the dongle.")


@pytest.mark.parametrize("code", [403, 404])
async def test_a_desk_that_gives_none_has_its_tickets_copied_without(code: int, site: Site) -> None:
    ticket_id = site.new_ticket()
    send(site, ticket_id, "Unplug it.")
    site.change(ticket_id, status="Closed")
    site.desk.order(kind="status", code=code, operation="list_conversations")
    assert (await site.sync(conversation=True)).tickets == 1
    assert said(site) == [""]


@pytest.fixture
async def cloud(database: Database, table: Table) -> AsyncIterator[Site]:
    for simulator in simulator_of(create_desk({"desks": {"globex": CLOUD | {"seeded": False}}})):
        async with opened(settings(simulator.url, "cloud")) as desk:
            yield Site(simulator, desk, database, table)


async def test_in_the_cloud_notes_are_listed_among_mails_and_are_none(cloud: Site) -> None:
    ticket_id = new_ticket(cloud.desk, "cloud")
    cloud.desk.change("POST", f"/tickets/globex/{ticket_id}/mails", text="Unplug it.")
    await cloud.client.add_note(ticket_id, "our own note")
    assert len(notes_of(cloud.desk, ticket_id, "cloud")) == 1
    cloud.desk.change("PATCH", f"/tickets/globex/{ticket_id}", status="Closed")
    await cloud.sync(tenant_id="globex", conversation=True)
    assert said(cloud) == ["Unplug it."]


async def test_a_copy_has_the_number_of_people_and_is_forgotten_by_it(cloud: Site) -> None:
    """An older copy gets the number from the list, without a read of its own."""
    rows = "SELECT ticket_id, display_id FROM tickets ORDER BY ticket_id"
    first, second = (new_ticket(cloud.desk, "cloud") for _ in range(2))
    await cloud.sync(tenant_id="globex")
    told = cloud.table.run(rows)
    assert [(row["ticket_id"], row["display_id"]) for row in told] == [(first, "1"), (second, "2")]
    cloud.table.run("UPDATE tickets SET display_id = null")
    cloud.desk.forget()
    await cloud.sync(tenant_id="globex")
    assert cloud.table.run(rows) == told
    assert cloud.reads() == []
    await erasure.erase(cloud.database, Which("globex", ticket_id="1"))
    await cloud.sync(tenant_id="globex")
    assert [row["ticket_id"] for row in cloud.table.run(rows)] == [second]
    assert await tombstones.forgotten_among(cloud.database, "globex", [first, second]) == {first}


async def test_an_older_copy_is_known_as_forgotten_on_any_page(cloud: Site) -> None:
    ids = [new_ticket(cloud.desk, "cloud") for _ in range(103)]
    await cloud.sync(tenant_id="globex")
    for old in ids[:3]:
        copy = {"ticket_id": old, "subject": "S", "description": "D", "resolution": "", "status": "Open"}
        await repository.save_ticket(cloud.database, "globex", copy, "sam@example.com")
    cloud.table.run("UPDATE tickets SET display_id = null")
    cloud.table.run("UPDATE passes SET complete_from = now() - interval '1 day', ended_at = now() - interval '1 day'")
    await erasure.erase(cloud.database, Which("globex", ticket_id="1"))
    await cloud.sync(tenant_id="globex")
    assert cloud.table.run("SELECT ticket_id FROM tickets WHERE ticket_id = %s", ids[0]) == []


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


async def test_a_resolution_from_before_the_note_is_not_what_was_done_then(site: Site, store: Store) -> None:
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


SKIPPED: dict[str, Any] = {"is_closed": True, "state": "skipped", "reason": "ticket deleted or closed"}


async def with_job(site: Site, store: Store, *, is_closed: bool = False, **columns: Any) -> str:
    ticket_id = site.new_ticket(subject="VPN is down")
    if is_closed:
        site.change(ticket_id, status="Closed")
    await store.accept(ticket_id=ticket_id, **{"state": "completed", "finished_at": "now()"} | columns)
    await site.sync()
    return ticket_id


async def moved(site: Site, ticket_id: str, *statuses: str, **tenant_settings: Any) -> None:
    for status in statuses:
        site.change(ticket_id, status=status)
        await site.sync(**tenant_settings)


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
    ("columns", "statuses", "tenant_settings"),
    [
        ({"state": "failed"}, ("Closed", "Open"), {}),
        ({"tenant_id": "globex"}, ("Closed", "Open"), {}),
        ({}, ("On Hold", "Open"), {}),
        (SKIPPED | {"reason": "left out by the tenant's rules"}, ("Open",), {"recovers": True}),
        (SKIPPED | {"state": "failed", "reason": "deadline passed"}, ("Open",), {"recovers": True}),
        (SKIPPED | {"finished_at": "now() - interval '25 hours'"}, ("Open",), {"recovers": True}),
        (SKIPPED | {"tenant_id": "globex"}, ("Open",), {"recovers": True}),
    ],
)
async def test_one_without_a_note_or_never_closed_or_of_another_skip_gets_none(
    columns: dict[str, Any], statuses: tuple[str, ...], tenant_settings: dict[str, bool], site: Site, store: Store
) -> None:
    await moved(site, await with_job(site, store, **columns), *statuses, **tenant_settings)
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


async def test_what_was_read_before_the_note_says_nothing_of_it(site: Site, store: Store) -> None:
    """The ticket was reopened and noted between the desk's answer and this."""
    ticket_id = site.new_ticket(subject="VPN is down")
    site.change(ticket_id, status="Closed")
    closed = await site.client.read_ticket(ticket_id)
    job_id = await store.accept(ticket_id=ticket_id, state="completed", finished_at="now()")
    await mind_reopening(store.database, Tenant("acme"), closed, 60, 1800)
    assert store.table.job(job_id)["seen_closed_at"] is None
    await mind_reopening(store.database, Tenant("acme"), closed, 0, 1800)
    assert store.table.job(job_id)["seen_closed_at"] is not None


async def test_a_number_of_people_that_is_another_tickets_id_is_not_taken_for_it(store: Store) -> None:
    shown_as_7 = DeskTicket("124", "VPN is down", "", "", "", "Closed", "", closed=True, display_id="7")
    done: dict[str, Any] = {"state": "completed", "finished_at": "now() - interval '1 minute'"}
    ours, other = [await store.accept(ticket_id=number, **done) for number in ("124", "7")]
    await mind_reopening(store.database, Tenant("acme"), shown_as_7, 0, 1800)
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


async def test_its_job_is_made_anew_where_that_is_wanted(site: Site, store: Store) -> None:
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
