"""Copying of a desk's whole history: newest first, page by page, resumable."""

from contextlib import suppress
from typing import Any

import pytest

from housekeeping.synced import Synced
from integrations.errors import DeskRefused, DeskUnavailable
from storage import listings
from storage.listings import HeldByAnother
from storage.session import Database
from tests.housekeeping.site import Site, site_of, synced
from tests.kit.clock import Clock
from tests.kit.desk import opened, settings
from tests.kit.postgres import Table


async def test_all_of_it_is_copied_newest_first_with_what_solved_it(database: Database, table: Table) -> None:
    async with site_of(database, table, history=120, articles=105) as site:
        assert await site.sync() == Synced(120, 105, 0)
        reads = site.reads()
        assert sorted(map(int, reads)) == list(range(int(reads[0]) - 119, int(reads[0]) + 1))
        # A list page and four tickets in turns, so that tickets are read roughly in order of age.
        assert reads[:100] == sorted(reads[:100], key=int, reverse=True)
        rows = table.run("SELECT count(*) AS solved FROM tickets WHERE resolution LIKE '%%works again.'")
        assert rows == [{"solved": 108}]
        (row,) = table.run("SELECT min(created_at) < now() - interval '299 days' AS old FROM tickets")
        assert row["old"]
        site.desk.forget()
        assert await site.sync() == Synced(0, 0, 0)
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
    async with site_of(database, table, history=105, **options) as site:
        assert (await site.sync()).tickets == 105
        (first, *_) = sorted(site.copies(), key=int)
        site.change(first, status="Open", subject="Again")
        if not (options.get("list_criteria", True) and options.get("list_fields", True)):
            # Without a change time it is seen when all pages are read.
            site.hours_pass(21)
        assert await site.sync() == Synced(1, 0, 0)
        assert table.run("SELECT subject FROM tickets WHERE status = 'Open' AND subject = 'Again'") != []


async def test_a_text_that_changes_and_nothing_else_is_read_again(database: Database, table: Table) -> None:
    async with site_of(database, table, history=110) as site:
        await site.sync()
        (first, *_) = sorted(site.copies(), key=int)
        site.change(first, closure_comments="The fuse was blown.")
        assert await site.sync() == Synced(1, 0, 0)
        (row,) = table.run("SELECT resolution FROM tickets WHERE ticket_id = %s", first)
        assert row["resolution"].endswith("works again.\nThe fuse was blown.")
        assert await site.sync() == Synced(0, 0, 0)


async def test_more_changes_than_a_page_has_are_all_read(database: Database, table: Table) -> None:
    async with site_of(database, table, history=110) as site:
        await site.sync()
        for ticket_id in site.copies():
            site.change(ticket_id, subject="Another one")
        assert await site.sync() == Synced(110, 0, 0)


async def test_it_goes_no_further_back_than_is_set_and_what_is_older_goes(database: Database, table: Table) -> None:
    async with site_of(database, table, history=250, history_days=250) as site:
        assert await site.sync(history_days=120) == Synced(119, 0, 0)
        # The newest, the changed, and two pages; the second one ends with older tickets.
        assert len(site.desk.requests(operation="list_tickets")) == 4
        site.hours_pass(21)
        assert await site.sync(history_days=100) == Synced(0, 0, 20)
        assert table.run("SELECT count(*) AS rows FROM listings") == [{"rows": 99}]


async def test_a_list_in_another_order_is_read_to_its_end(database: Database, table: Table) -> None:
    async with site_of(database, table, history=250, history_days=250, list_order="oldest first") as site:
        assert await site.sync(history_days=60) == Synced(59, 0, 0)


async def test_a_round_ends_with_its_time_and_the_next_goes_on_from_there(database: Database, table: Table) -> None:
    clock = Clock(0)

    def moments() -> float:
        clock.now += 1
        return clock.now

    async with site_of(database, table, history=120) as site:
        read = 0
        for _ in range(3):
            read += (await site.sync(seconds=8, monotonic=moments)).tickets
        assert 60 < read < 120
        assert len(site.reads()) == read == len(site.copies())
        assert (await site.sync()).tickets == 120 - read


async def test_a_desk_that_repeats_its_page_for_ever_ends_the_pass_and_loses_nothing(
    database: Database, table: Table
) -> None:
    async with site_of(database, table, history=110) as site:
        await site.sync()
        site.set_desk(same_page=True)
        for _ in range(4):
            site.hours_pass(21)
            site.desk.forget()
            assert await site.sync() == Synced(0, 0, 0, stopped="its list repeats itself")
            assert len(site.desk.requests(operation="list_tickets")) < 9
            # Not in each sync.
            assert await site.sync() == Synced(0, 0, 0)
        assert len(site.copies()) == 110


async def test_what_is_deleted_goes_after_two_passes_an_hour_apart(database: Database, table: Table) -> None:
    async with site_of(database, table, history=120) as site:
        await site.sync()
        gone = set(sorted(site.copies(), key=int)[:90:30])
        for ticket_id in gone:
            site.delete(ticket_id)
        site.hours_pass(0.9)
        assert await site.sync() == Synced(0, 0, 0)
        site.hours_pass(0.2)
        assert await site.sync() == Synced(0, 0, 0)
        assert gone < site.copies()
        site.hours_pass(0.9)
        assert await site.sync() == Synced(0, 0, 0)
        site.hours_pass(0.2)
        assert await site.sync() == Synced(0, 0, 3)
        assert (len(site.copies()), site.copies() & gone) == (117, set())
        assert table.run("SELECT count(*) AS rows FROM listings") == [{"rows": 117}]


async def test_a_desk_that_forgets_half_its_tickets_for_an_hour_loses_no_copy(database: Database, table: Table) -> None:
    async with site_of(database, table, history=120) as site:
        await site.sync()
        site.set_desk(forgets=0.5)
        site.hours_pass(1.1)
        assert await site.sync() == Synced(0, 0, 0)
        site.set_desk(forgets=0)
        site.hours_pass(1.1)
        assert await site.sync() == Synced(0, 0, 0)
        assert len(site.copies()) == 120


async def test_a_ticket_that_was_merged_goes_and_is_asked_for_once_a_day(site: Site) -> None:
    parent, merged = site.new_tickets(2)
    await site.sync()
    site.change(merged, merged_into=parent)
    assert await site.sync() == Synced(0, 0, 1)
    site.desk.forget()
    for hours in (2, 2, 21):
        assert await site.sync() == Synced(0, 0, 0)
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
    assert await site.sync() == Synced(1, 0, 0)
    assert site.copies() == {trashed, other}


async def test_two_syncs_of_one_desk_do_not_run_at_once(site: Site) -> None:
    site.new_ticket()
    async with listings.held(site.database, "acme", 60):
        with pytest.raises(HeldByAnother):
            await site.sync()
        assert await synced(site.database, site.client, tenant_id="globex") == Synced(1, 0, 0)
    assert (await site.sync()).tickets == 1


async def test_a_sync_that_was_killed_keeps_nobody_waiting_for_long(site: Site) -> None:
    site.new_ticket()
    async with listings.held(site.database, "acme", 0.2) as dead:
        with pytest.raises(HeldByAnother):
            await site.sync()
        site.table.run("SELECT pg_sleep(0.3)")
        async with listings.held(site.database, "acme", 60):
            # It is alive after all, and learns that another process has its lead.
            with pytest.raises(HeldByAnother):
                await dead.insist()
    assert (await site.sync()).tickets == 1


async def test_how_much_is_copied_is_told(database: Database, table: Table) -> None:
    async with site_of(database, table, history=100, history_days=100, articles=3) as site:
        clock = Clock(0)

        def moments() -> float:
            clock.now += 1
            return clock.now

        synced_so_far = await site.sync(seconds=5, monotonic=moments)
        extent = await listings.extent(database, "acme")
        assert (extent.tickets, extent.solutions) == (synced_so_far.tickets, 3)
        assert extent.to_read == synced_so_far.to_read == 100 - synced_so_far.tickets
        await site.sync()
        done = await listings.extent(database, "acme")
        assert (done.tickets, done.to_read, done.listed) == (100, 0, True)
        assert done.reaches_back_to is not None
        assert extent.reaches_back_to is not None
        assert (extent.reaches_back_to - done.reaches_back_to).days in range(80, 99)


async def test_a_desk_that_fails_in_the_middle_of_its_list_is_gone_on_with(database: Database, table: Table) -> None:
    async with site_of(database, table, history=110) as site:
        site.desk.order(kind="status", code=500, operation="list_tickets", times=1)
        with pytest.raises(Exception, match="500"):
            await site.sync()
        await site.sync(seconds=0)
        for _ in range(3):
            site.desk.order(kind="html", operation="list_tickets", times=1)
            async with opened(settings(site.desk.url)) as site.client:
                with suppress(DeskUnavailable):
                    await site.sync()
        async with opened(settings(site.desk.url)) as site.client:
            await site.sync()
        assert len(site.copies()) == 110


async def test_tickets_that_are_refused_do_not_end_the_others_history(database: Database, table: Table) -> None:
    async with site_of(database, table, history=30) as site:
        site.desk.order(kind="status", code=403, operation="read_ticket", times=4)
        with pytest.raises(DeskRefused):
            await site.sync()
        assert (await site.sync()).tickets == 26
