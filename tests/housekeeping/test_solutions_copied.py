"""Copies of the knowledge base: all pages, topics, changes and deletions."""

import asyncio
import time

import pytest

from config.tenant_settings import TicketRules
from housekeeping.synced import Synced
from storage.search import SearchInPostgres
from storage.session import Database
from tests.housekeeping.site import Site, site_of
from tests.kit.postgres import Table


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
    async with site_of(database, table, articles=104) as site:
        assert await site.sync() == Synced(0, 104, 0)
        search, words = SearchInPostgres(database, 2, least=0), ("scanner of type T00001", "")
        assert (await search.documents("acme", *words))[0].title.endswith("T00001")
        site.rules = TicketRules(never_topics=frozenset({"network"}))
        found = await search.documents("acme", *words, site.rules.never_topics)
        assert found
        assert not any(one.title.endswith("T00001") for one in found)
        site.hours_pass(1.1)
        assert (await site.sync()).removed == 52
        assert table.run("SELECT DISTINCT topic FROM passages") == [{"topic": "hardware"}]
        site.rules = TicketRules()
        site.hours_pass(1.1)
        assert (await site.sync()).passages == 52


@pytest.mark.parametrize("texts", [True, False])
async def test_an_expired_solution_is_not_copied_and_one_that_expires_is_found_no_more(texts: bool, site: Site) -> None:
    """It disappears before the next sync, and returns if the expiry is put off."""
    site.set_desk(list_texts=texts)
    for_ever, expired, expires = add(site, "Scanner T1"), add(site, "Scanner T2"), add(site, "Scanner T3")
    now = round(time.time() * 1000)
    change(site, expired, expiry_ms=now - 1000)
    change(site, expires, expiry_ms=now + 3000)
    assert await site.sync() == Synced(0, 2, 0)
    assert bodies(site).keys() == {for_ever, expires}
    search = SearchInPostgres(site.database, 2, least=0)

    async def found() -> set[str]:
        return {one.title for one in await search.documents("acme", "Scanner", "")}

    assert await found() == {"Scanner T1", "Scanner T3"}
    await asyncio.sleep(3.1 - (time.time() - now / 1000))
    assert await found() == {"Scanner T1"}
    assert (await site.sync()).removed == 1
    assert bodies(site).keys() == {for_ever}
    change(site, expires, expiry_ms=now + 3_600_000)
    site.hours_pass(1.1)
    assert (await site.sync()).passages == 1
    assert await found() == {"Scanner T1", "Scanner T3"}
