"""Copies of one ticket or solution: conversations, numbers, knowledge base."""

import time
from collections.abc import AsyncIterator

import pytest
from uuid_utils.compat import uuid7

from config.tenants import TicketRules
from db.session import Database
from dev.simulators.servicedesk import create_desk
from knowledge import repository
from knowledge.search import PostgresSearch
from knowledge.sources import SyncResult
from privacy import erasure, tombstones
from privacy.erasure import ErasureScope
from tests.kit.desk import new_ticket, notes_of, opened, settings
from tests.kit.postgres import Table
from tests.kit.simulators import CLOUD, simulator_of
from tests.knowledge.site import Site, resolve, site_of
from workflow.answer import Content, NoteText
from workflow.note import to_html


def add(site: Site, title: str, description: str = "Ask the help desk.", topic: str = "General") -> str:
    values = {"title": title, "description": description, "topic": topic}
    return str(site.desk.change("POST", "/solutions/acme", **values)["id"])


def change(site: Site, solution_id: str, **values: object) -> None:
    site.desk.change("PATCH", f"/solutions/acme/{solution_id}", **values)


def bodies(site: Site) -> dict[str, str]:
    return {row["source_id"]: row["body"] for row in site.table.run("SELECT source_id, body FROM passages")}


@pytest.mark.parametrize("texts", [True, False])
async def test_a_changed_solution_is_read_again(texts: bool, site: Site) -> None:
    """Within an hour; within a day where the list has the title alone."""
    site.set_desk(list_texts=texts)
    by_title, by_text, empty = add(site, "VPN"), add(site, "Printers"), add(site, "Empty", "")
    assert await site.sync() == SyncResult(0, 2, 0)
    change(site, by_title, title="VPN at home", description="New")
    change(site, by_text, description="New")
    site.hours_pass(1.1)
    assert await site.sync() == SyncResult(0, 1 + texts, 0)
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
        assert await site.sync() == SyncResult(0, 8, 0)
        search, words = PostgresSearch(database, 2, least=0), ("scanner of type T00001", "")
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
async def test_an_expired_solution_is_neither_copied_nor_found(texts: bool, site: Site) -> None:
    site.set_desk(list_texts=texts)
    for_ever, expired, expires = add(site, "Scanner T1"), add(site, "Scanner T2"), add(site, "Scanner T3")
    now = round(time.time() * 1000)
    change(site, expired, expiry_ms=now - 1000)
    change(site, expires, expiry_ms=now + 3_600_000)
    assert await site.sync() == SyncResult(0, 2, 0)
    assert bodies(site).keys() == {for_ever, expires}
    search = PostgresSearch(site.database, 2, least=0)

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


def send(site: Site, ticket_id: str, *texts: str, place: str = "mails") -> None:
    for text in texts:
        site.desk.change("POST", f"/tickets/acme/{ticket_id}/{place}", text=text)


async def test_what_was_said_about_a_closed_ticket_helps_where_its_resolution_does_not(site: Site) -> None:
    closed, still_open = site.new_tickets(2)
    for ticket_id in (closed, still_open):
        send(site, ticket_id, *(f"<div>Try number {number}.</div>" for number in range(12)))
        await site.client.add_note(ticket_id, "<p>The dongle beeps.</p>")
        await site.client.add_note(ticket_id, to_html(Content(summary="s"), uuid7(), "gpt-6-luna"))
        await site.client.add_note(ticket_id, to_html(Content(), uuid7(), "gpt-6-luna", failed=True))
        note = to_html(Content(next_steps=[NoteText(text="Replace it.")]), uuid7(), "gpt-6-luna")
        send(site, ticket_id, f"<p>Unplugged it.</p>{note}", place="worklogs")
        send(site, ticket_id, "<p>Hello,</p><p>Thank you.</p><p>Kind regards</p>")
    resolve(site, closed, "<p>Done, thanks.</p>")
    site.change(closed, subject="The laptop beeps", status="Closed", closure_comments="Closed after five quiet days.")
    assert (await site.sync()).tickets == 2
    assert said(site) == ["", ""]
    site.hours_pass(21)
    site.change(closed, status="Resolved")
    await site.sync(conversation=True)
    # The newest first: a prompt has the beginning.
    texts = ["Done, thanks.\nClosed after five quiet days.", "Hello,\nThank you.\nKind regards", "Unplugged it."]
    texts += ["The dongle beeps.", *(f"Try number {number}." for number in (11, 10, 9, 8))]
    assert said(site) == ["\n\n".join(texts), ""]
    assert len(site.desk.requests(operation="read_notification")) == 5
    (found,) = await PostgresSearch(site.database, 2, least=0).similar_tickets("acme", "0", "Laptop beeps", "", {})
    assert found.resolution == said(site)[0]


async def test_a_resolution_that_says_enough_needs_no_conversation(site: Site) -> None:
    ticket_id = site.new_ticket()
    send(site, ticket_id, "Unplug it.")
    resolve(site, ticket_id, "<p>Replaced the cable in room 4.</p>")
    site.change(ticket_id, status="Closed")
    await site.sync(conversation=True)
    assert said(site) == [""]
    assert site.desk.requests(operation="list_conversations") == []


@pytest.mark.parametrize("code", [403, 404])
async def test_what_a_desk_refuses_is_left_out(code: int, site: Site) -> None:
    ticket_id = site.new_ticket()
    send(site, ticket_id, "Unplug it.")
    send(site, ticket_id, "Replaced the fuse.", place="worklogs")
    site.change(ticket_id, status="Closed")
    for operation in ("list_conversations", "list_notes"):
        site.desk.order(kind="status", code=code, operation=operation)
    assert (await site.sync(conversation=True)).tickets == 1
    assert said(site) == ["Replaced the fuse."]


@pytest.fixture
async def cloud(database: Database, table: Table) -> AsyncIterator[Site]:
    for simulator in simulator_of(create_desk({"desks": {"globex": CLOUD | {"seeded": False}}})):
        async with opened(settings(simulator.url, "cloud")) as desk:
            yield Site(simulator, desk, database, table)


async def test_in_the_cloud_notes_are_listed_among_mails_and_are_none(cloud: Site) -> None:
    ticket_id = new_ticket(cloud.desk, "cloud")
    cloud.desk.change("POST", f"/tickets/globex/{ticket_id}/mails", text="Unplug it.")
    await cloud.client.add_note(ticket_id, to_html(Content(summary="s"), uuid7(), "gpt-6-luna"))
    assert len(notes_of(cloud.desk, ticket_id, "cloud")) == 1
    cloud.desk.change("PATCH", f"/tickets/globex/{ticket_id}", status="Closed")
    await cloud.sync(tenant_id="globex", conversation=True)
    assert said(cloud) == ["Unplug it."]


async def test_a_copy_has_its_display_number_and_is_forgotten_by_it(cloud: Site) -> None:
    rows = "SELECT ticket_id, display_id FROM tickets ORDER BY ticket_id"
    first, second = (new_ticket(cloud.desk, "cloud") for _ in range(2))
    await cloud.sync(tenant_id="globex")
    found_rows = cloud.table.run(rows)
    assert [(row["ticket_id"], row["display_id"]) for row in found_rows] == [(first, "1"), (second, "2")]
    cloud.table.run("UPDATE tickets SET display_id = null")
    cloud.desk.forget()
    await cloud.sync(tenant_id="globex")
    assert cloud.table.run(rows) == found_rows
    assert cloud.reads() == []
    await erasure.erase(cloud.database, ErasureScope("globex", ticket_id="1"))
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
    await erasure.erase(cloud.database, ErasureScope("globex", ticket_id="1"))
    await cloud.sync(tenant_id="globex")
    assert cloud.table.run("SELECT ticket_id FROM tickets WHERE ticket_id = %s", ids[0]) == []
