"""Copying of a desk's whole history, whatever its lists are like: no copy is lost and no sync hangs."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from prometheus_client import REGISTRY

from cli.config import parse_names
from config.tenants import TicketRules
from db.session import Database
from integrations.errors import DeskTimeoutError, DeskUnavailableError
from integrations.servicedesk.client import ServiceDeskPlus
from integrations.values import ListedTicket, ListPage
from knowledge import repository, sync_repository
from knowledge.sources import SyncResult
from knowledge.sync_repository import HeldByAnotherError
from privacy import erasure
from privacy.erasure import ErasureScope
from tests.kit.desk import opened, settings
from tests.kit.postgres import Table
from tests.knowledge.plain_desk import NOW, PlainDesk, newest_first
from tests.knowledge.site import Site, put_back, site_of, synced, ticking


async def test_all_of_it_is_copied_newest_first_with_what_solved_it(database: Database, table: Table) -> None:
    async with site_of(database, table, history=120, articles=105) as site:
        assert await site.sync() == SyncResult(120, 105, 0)
        reads = site.reads()
        assert sorted(map(int, reads)) == list(range(int(reads[0]) - 119, int(reads[0]) + 1))
        # A list page and four tickets in turns, so that tickets are read roughly in order of age.
        assert reads[:100] == sorted(reads[:100], key=int, reverse=True)
        rows = table.run("SELECT count(*) AS solved FROM tickets WHERE resolution LIKE '%%works again.'")
        assert rows == [{"solved": 108}]
        (row,) = table.run("SELECT min(created_at) < now() - interval '299 days' AS old FROM tickets")
        assert row["old"]
        assert table.run("SELECT 1 FROM tickets WHERE NOT kinds ? 'priority'") == []
        site.desk.forget()
        assert await site.sync() == SyncResult(0, 0, 0)
        assert (site.reads(), len(site.desk.requests(operation="list_tickets"))) == ([], 2)


@pytest.mark.parametrize(
    "options",
    [
        {"list_order": "oldest first"},
        {"list_order": "mixed"},
        {"list_order": "mixed", "list_fields": False, "list_criteria": False},
        {"list_fields": False},
        {"clock_seconds": 3600},
        {"clock_seconds": -3600},
    ],
    ids=str,
)
async def test_whatever_its_lists_are_like(options: dict[str, Any], database: Database, table: Table) -> None:
    count = 105 if "list_order" in options else 15
    async with site_of(database, table, history=count, **options) as site:
        assert (await site.sync()).tickets == count
        (first, *_) = sorted(site.copies(), key=int)
        site.change(first, status="Open", subject="Again")
        if not (options.get("list_criteria", True) and options.get("list_fields", True)):
            # Without a change time it is seen when all pages are read.
            site.hours_pass(21)
        assert await site.sync() == SyncResult(1, 0, 0)
        assert table.run("SELECT subject FROM tickets WHERE status = 'Open' AND subject = 'Again'") != []


async def test_it_goes_no_further_back_than_is_set_and_what_is_older_goes(database: Database, table: Table) -> None:
    async with site_of(database, table, history=250, history_days=250) as site:
        assert await site.sync(history_days=120) == SyncResult(119, 0, 0)
        # The newest, the changed, and two pages; the second one ends with older tickets.
        assert len(site.desk.requests(operation="list_tickets")) == 4
        site.hours_pass(21)
        assert await site.sync(history_days=100) == SyncResult(0, 0, 20)
        assert table.run("SELECT count(*) AS rows FROM listings") == [{"rows": 99}]


async def test_a_round_ends_with_its_time_and_the_next_goes_on_from_there(database: Database, table: Table) -> None:
    async with site_of(database, table, history=40) as site:
        read = 0
        for _ in range(3):
            read += (await site.sync(seconds=3, monotonic=ticking())).tickets
        assert 10 < read < 40
        assert len(site.reads()) == read == len(site.copies())
        assert (await site.sync()).tickets == 40 - read


async def test_a_desk_that_repeats_its_page_ends_the_pass(database: Database, table: Table) -> None:
    async with site_of(database, table, history=110) as site:
        await site.sync()
        site.set_desk(same_page=True)
        for _ in range(4):
            site.hours_pass(21)
            site.desk.forget()
            assert await site.sync() == SyncResult(0, 0, 0, stopped="its list repeats itself")
            assert len(site.desk.requests(operation="list_tickets")) < 9
            # Not in each sync.
            assert await site.sync() == SyncResult(0, 0, 0)
        assert len(site.copies()) == 110


async def test_what_is_deleted_goes_after_two_passes_an_hour_apart(database: Database, table: Table) -> None:
    async with site_of(database, table, history=12) as site:
        await site.sync()
        gone = set(sorted(site.copies(), key=int)[:9:3])
        for ticket_id in gone:
            site.delete(ticket_id)
        for hours, removed in ((0.9, 0), (0.2, 0), (0.9, 0), (0.2, 3)):
            assert gone < site.copies()
            site.hours_pass(hours)
            assert await site.sync() == SyncResult(0, 0, removed)
        assert (len(site.copies()), site.copies() & gone) == (9, set())
        assert table.run("SELECT count(*) AS rows FROM listings") == [{"rows": 9}]


async def test_a_desk_that_forgets_half_its_tickets_for_an_hour_loses_no_copy(database: Database, table: Table) -> None:
    async with site_of(database, table, history=20) as site:
        await site.sync()
        site.set_desk(forgets=0.5)
        site.hours_pass(1.1)
        assert await site.sync() == SyncResult(0, 0, 0)
        site.set_desk(forgets=0)
        site.hours_pass(1.1)
        assert await site.sync() == SyncResult(0, 0, 0)
        assert len(site.copies()) == 20


async def test_a_ticket_that_was_merged_goes_and_is_asked_for_once_a_day(site: Site) -> None:
    parent, merged = site.new_tickets(2)
    await site.sync()
    site.change(merged, merged_into=parent)
    assert await site.sync() == SyncResult(0, 0, 1)
    site.desk.forget()
    for hours in (2, 2, 21):
        assert await site.sync() == SyncResult(0, 0, 0)
        assert site.asked_for() == set()
        site.hours_pass(hours)
    await site.sync()
    assert site.asked_for() == {merged}
    assert site.copies() == {parent}


@pytest.mark.parametrize("missing", [False, True])
async def test_one_in_the_trash_goes_and_is_back_when_it_is_restored(missing: bool, site: Site) -> None:
    site.set_desk(trashed_is_missing=missing)
    trashed, other = site.new_tickets(2)
    await site.sync()
    site.change(trashed, is_trashed=True)
    for _ in range(2):
        site.hours_pass(1.1)
        await site.sync()
    assert site.copies() == {other}
    site.change(trashed, is_trashed=False)
    assert await site.sync() == SyncResult(1, 0, 0)
    assert site.copies() == {trashed, other}


async def test_two_syncs_of_one_desk_do_not_run_at_once(site: Site) -> None:
    site.new_ticket()
    async with sync_repository.desk_lease(site.database, "acme", 0.3) as dead:
        with pytest.raises(HeldByAnotherError):
            await site.sync()
        assert await synced(site.database, site.client, tenant_id="globex") == SyncResult(1, 0, 0)
        site.table.run("SELECT pg_sleep(0.4)")
        async with sync_repository.desk_lease(site.database, "acme", 60):
            with pytest.raises(HeldByAnotherError):
                await dead.renew()
    assert (await site.sync()).tickets == 1


async def test_a_desk_that_fails_in_the_middle_of_its_list_is_gone_on_with(database: Database, table: Table) -> None:
    async with site_of(database, table, history=110) as site:
        site.desk.order(kind="status", code=500, operation="list_tickets", times=1)
        with pytest.raises(Exception, match="500"):
            await site.sync()
        await site.sync(seconds=0)
        for _ in range(3):
            site.desk.order(kind="html", operation="list_tickets", times=1)
            async with opened(settings(site.desk.url)) as site.client:
                with suppress(DeskUnavailableError):
                    await site.sync()
        async with opened(settings(site.desk.url)) as site.client:
            await site.sync()
        assert len(site.copies()) == 110


Sync = Callable[..., Any]


@pytest.fixture
def sync(database: Database) -> Sync:
    async def run(desk: PlainDesk, *args: Any, **more: Any) -> SyncResult:
        return await synced(database, cast("ServiceDeskPlus", desk), *args, **more)

    return run


def copies(table: Table) -> set[str]:
    return {row["ticket_id"] for row in table.run("SELECT ticket_id FROM tickets")}


@pytest.mark.parametrize("failure", [DeskUnavailableError("500"), DeskTimeoutError()], ids=["500", "timeout"])
async def test_a_ticket_that_fails_delays_no_other(failure: DeskUnavailableError, sync: Sync, table: Table) -> None:
    desk = PlainDesk.of(50)
    desk.fails_at["1045"] = failure
    assert (await sync(desk)).tickets == 49
    assert (await sync(desk)).tickets == 0
    assert desk.reads.count("1045") == 1
    put_back(table, 1.1)
    del desk.fails_at["1045"]
    assert (await sync(desk)).tickets == 1


async def test_more_changes_than_one_sync_takes_come_bit_by_bit(sync: Sync) -> None:
    desk = PlainDesk.of(115, timedelta(minutes=5))
    await sync(desk)
    for number, ticket in enumerate(desk.there.values()):
        ticket.changed = NOW - timedelta(milliseconds=115 - number)
    reads = [(await sync(desk)).tickets for _ in range(3)]
    # The newest page, ten pages, and the last row of each page again.
    assert (reads[0], sum(reads)) == (101, 115)


async def test_a_time_that_is_still_to_come_hides_no_change(sync: Sync, database: Database) -> None:
    desk = PlainDesk.of(15)
    desk.there["1014"].created = desk.there["1014"].changed = NOW + timedelta(days=900)
    await sync(desk)
    desk.there["1000"].changed = datetime.now(UTC) + timedelta(seconds=1)
    assert (await sync(desk)).tickets == 1
    state = await sync_repository.load_pass(database, "acme", "t")
    assert state.changes_until is not None
    assert state.changes_until <= state.now


async def test_a_pass_goes_on_where_tickets_are_read_meanwhile(sync: Sync, table: Table, database: Database) -> None:
    desk = PlainDesk.of(50)
    await sync(desk, seconds=6, monotonic=ticking())
    first = await sync_repository.load_pass(database, "acme", "t")
    assert first.complete_from is not None
    # Pages of what was read in this pass and is not yet listed by it.
    table.run("UPDATE listings SET seen_at = now() + interval '1 minute' WHERE item_id < '1040'")
    put_back(table, 21)
    await sync(desk, seconds=6, monotonic=ticking())
    assert (await sync_repository.load_pass(database, "acme", "t")).complete_from != first.complete_from


@pytest.mark.parametrize("before", [True, False], ids=["copied", "new"])
async def test_a_list_that_begins_with_old_tickets_is_read_to_its_end(before: bool, sync: Sync, table: Table) -> None:
    """Tickets of one moment, as after an import, could pass for a sorted list."""
    desk = PlainDesk.of(20)
    for number in range(1000, 1010):
        desk.there[str(number)].created = NOW - timedelta(days=500)
    if before:
        assert (await sync(desk)).tickets == 10
    desk.order = lambda there: newest_first(there)[::-1]
    for _ in range(3):
        put_back(table, 21)
        await sync(desk)
    assert copies(table) == {str(number) for number in range(1010, 1020)}


@pytest.mark.parametrize("from_page", [1, 11], ids=["all of it", "in the middle"])
async def test_an_empty_page_is_no_end_of_the_list(from_page: int, sync: Sync, table: Table) -> None:
    desk = PlainDesk.of(22)
    await sync(desk)

    def emptied(start: int, page: ListPage[ListedTicket]) -> ListPage[ListedTicket]:
        return ListPage([], has_more=from_page > 1) if start >= from_page else page

    desk.on_page = emptied
    told = []
    for _ in range(3):
        put_back(table, 21)
        told.append((await sync(desk)).stopped)
    assert told == ["its list has an empty page" if from_page > 1 else "its list is empty"] * 3
    assert len(copies(table)) == 22


async def test_a_mistaken_rule_loses_no_copy_for_good(sync: Sync, database: Database, table: Table) -> None:
    """The copies went while the desk did not answer, so no list was read by that rule."""
    desk = PlainDesk.of(50)
    for ticket in desk.there.values():
        ticket.group = "IT"
    await sync(desk)
    assert await repository.remove_forbidden(database, "acme", parse_names("group:IT")) == 50
    put_back(table, 21)
    assert (await sync(desk)).tickets == 50


async def test_what_is_kept_within_a_group_is_read_again_where_no_list_tells_of_it(sync: Sync, table: Table) -> None:
    desk, rules = PlainDesk.of(20), TicketRules(within=parse_names("group:Finance"))
    desk.tells = False
    await sync(desk, rules)
    desk.there["1003"].group = "Finance"
    put_back(table, 21)
    assert (await sync(desk, rules)).tickets == 20
    moved = table.run("SELECT ticket_id FROM tickets WHERE kinds ->> 'group' = 'finance'")
    assert moved == [{"ticket_id": "1003"}]


async def test_what_is_read_each_day_comes_after_the_history(sync: Sync, table: Table) -> None:
    desk, rules = PlainDesk.of(40), TicketRules(never=parse_names("group:HR"))
    desk.tells = False
    days = []
    for _ in range(6):
        await sync(desk, rules, seconds=4, monotonic=ticking())
        days.append(len(copies(table)))
        put_back(table, 24)
    assert days[0] < days[1] < days[2]
    assert days[-1] == 40


async def test_a_list_that_tells_more_or_less_than_before_is_no_change(sync: Sync) -> None:
    desk = PlainDesk.of(12)
    await sync(desk)
    desk.tells = False
    assert (await sync(desk)).tickets == 0
    desk.tells = True
    assert (await sync(desk)).tickets == 0


async def test_of_what_was_forgotten_no_list_is_remembered(sync: Sync, database: Database, table: Table) -> None:
    desk = PlainDesk.of(5)
    await sync(desk)
    await erasure.erase(database, ErasureScope("acme", ticket_id="1003"))
    rows = "SELECT item_id FROM listings WHERE item_id = '1003'"
    assert table.run(rows) == []
    desk.there["1003"] = replace(desk.there["1003"], subject="Changed")
    await sync(desk)
    assert table.run(rows) == []


def told(name: str) -> float:
    found = REGISTRY.get_sample_value(f"ai_agents_{name}", {"tenant_id": "acme"})
    assert found is not None
    return found


async def test_copy_figures_include_a_desk_without_tickets(sync: Sync, table: Table) -> None:
    desk = PlainDesk.of(40)
    desk.fails_at = dict.fromkeys(desk.there, DeskUnavailableError("500"))
    for _ in range(2):
        with pytest.raises(DeskUnavailableError):
            await sync(desk)
    # Four in a row end a sync.
    assert len(desk.reads) == 8
    assert told("copies_to_read") > 0
    assert (told("copied_tickets"), told("copy_last_read_timestamp_seconds")) == (0, 0)
    desk.fails_at.clear()
    put_back(table, 1.1)
    await sync(desk)
    assert (told("copied_tickets"), told("copies_to_read")) == (40, 0)
    assert time.time() - told("copy_last_read_timestamp_seconds") < 60
    assert told("copies_reach_back_timestamp_seconds") == pytest.approx(desk.there["1000"].created.timestamp(), abs=1)
    table.run("UPDATE listings SET seen_at = now() - interval '2 days' WHERE item_id = '1003'")
    desk.on_page = lambda _start, page: ListPage([], has_more=page.has_more)
    await sync(desk)
    assert 172_700 < time.time() - told("oldest_copy_seen_timestamp_seconds") < 172_900
