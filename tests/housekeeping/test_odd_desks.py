"""Desks with malformed lists or tickets: no copy is lost and no sync hangs."""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from prometheus_client import REGISTRY

from config.ticket_rules import TicketRules, parse_names
from housekeeping.synced import Synced
from integrations.errors import DeskTimeout, DeskUnavailable
from integrations.servicedesk.client import ServiceDeskPlus
from integrations.servicedesk.parsing import ListedTicket, ListPage
from storage import erasing, history, passes
from storage.erasable import Which
from storage.session import Database
from tests.housekeeping.plain_desk import NOW, PlainDesk, newest_first
from tests.housekeeping.site import put_back, synced
from tests.kit.clock import Clock
from tests.kit.postgres import Table

Sync = Callable[..., Any]


@pytest.fixture
def sync(database: Database) -> Sync:
    async def run(desk: PlainDesk, *args: Any, **more: Any) -> Synced:
        return await synced(database, cast("ServiceDeskPlus", desk), *args, **more)

    return run


def copies(table: Table) -> set[str]:
    return {row["ticket_id"] for row in table.run("SELECT ticket_id FROM tickets")}


def ticking() -> Callable[[], float]:
    clock = Clock(0)

    def look() -> float:
        clock.now += 1
        return clock.now

    return look


@pytest.mark.parametrize("failure", [DeskUnavailable("500"), DeskTimeout()], ids=["500", "timeout"])
async def test_one_ticket_that_it_always_fails_at_is_in_no_others_way(
    failure: DeskUnavailable, sync: Sync, table: Table
) -> None:
    desk = PlainDesk.of(50)
    desk.fails_at["1045"] = failure
    assert (await sync(desk)).tickets == 49
    assert (await sync(desk)).tickets == 0
    assert desk.reads.count("1045") == 1
    put_back(table, 1.1)
    del desk.fails_at["1045"]
    assert (await sync(desk)).tickets == 1


async def test_a_desk_that_fails_at_all_of_them_has_failed(sync: Sync) -> None:
    desk = PlainDesk.of(50)
    desk.fails_at = dict.fromkeys(desk.there, DeskUnavailable("500"))
    with pytest.raises(DeskUnavailable):
        await sync(desk)
    assert len(desk.reads) == 4


async def test_more_changes_than_one_sync_takes_come_bit_by_bit(sync: Sync) -> None:
    desk = PlainDesk.of(115, timedelta(minutes=5))
    await sync(desk)
    for number, ticket in enumerate(desk.there.values()):
        ticket.changed = NOW - timedelta(milliseconds=115 - number)
    reads = [(await sync(desk)).tickets for _ in range(3)]
    # The newest page, ten pages, and the last row of each page again.
    assert (reads[0], sum(reads)) == (101, 115)


async def test_changes_that_are_listed_in_another_order_are_all_read(sync: Sync) -> None:
    desk = PlainDesk.of(40, timedelta(minutes=5))
    desk.order_of_changes = lambda there: sorted(there, key=lambda ticket: -ticket.number)
    await sync(desk)
    for ticket in desk.there.values():
        ticket.changed = NOW - timedelta(milliseconds=ticket.number)
    assert (await sync(desk)).tickets == 40


async def test_a_time_that_is_still_to_come_hides_no_change(sync: Sync, database: Database) -> None:
    desk = PlainDesk.of(15)
    desk.there["1014"].created = desk.there["1014"].changed = NOW + timedelta(days=900)
    await sync(desk)
    desk.there["1000"].changed = datetime.now(UTC) + timedelta(seconds=1)
    assert (await sync(desk)).tickets == 1
    state = await passes.load(database, "acme", "t")
    assert state.changes_until is not None
    assert state.changes_until <= state.now


async def test_a_pass_goes_on_where_tickets_are_read_meanwhile(sync: Sync, table: Table, database: Database) -> None:
    desk = PlainDesk.of(50)
    await sync(desk, seconds=6, monotonic=ticking())
    first = await passes.load(database, "acme", "t")
    assert first.complete_from is not None
    # Pages of what was read in this pass and is not yet listed by it.
    table.run("UPDATE listings SET seen_at = now() + interval '1 minute' WHERE item_id < '1040'")
    put_back(table, 21)
    await sync(desk, seconds=6, monotonic=ticking())
    assert (await passes.load(database, "acme", "t")).complete_from != first.complete_from


@pytest.mark.parametrize("before", [True, False], ids=["copied", "new"])
async def test_a_list_that_begins_with_what_is_too_old_is_read_to_its_end(
    before: bool, sync: Sync, table: Table
) -> None:
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


async def test_a_desk_that_has_no_tickets_is_copied_as_such(sync: Sync) -> None:
    assert await sync(PlainDesk.of(0)) == Synced(0, 0, 0)


async def test_a_rule_that_was_a_mistake_costs_nothing_for_good(sync: Sync, database: Database, table: Table) -> None:
    """The copies went while the desk did not answer, so no list was read by that rule."""
    desk = PlainDesk.of(50)
    for ticket in desk.there.values():
        ticket.group = "IT"
    await sync(desk)
    assert await history.remove_forbidden(database, "acme", parse_names("group:IT")) == 50
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
    await erasing.erase(database, Which("acme", ticket_id="1003"))
    rows = "SELECT item_id FROM listings WHERE item_id = '1003'"
    assert table.run(rows) == []
    desk.there["1003"] = replace(desk.there["1003"], subject="Changed")
    await sync(desk)
    assert table.run(rows) == []


def told(name: str) -> float:
    found = REGISTRY.get_sample_value(f"ai_agents_{name}", {"tenant_id": "acme"})
    assert found is not None
    return found


async def test_how_much_is_copied_is_told_also_of_a_desk_that_gives_none(sync: Sync, table: Table) -> None:
    """The alerts use unread items, time of the last reading, and the oldest ticket."""
    desk = PlainDesk.of(40)
    desk.fails_at = dict.fromkeys(desk.there, DeskUnavailable("500"))
    for _ in range(2):
        with pytest.raises(DeskUnavailable):
            await sync(desk)
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
