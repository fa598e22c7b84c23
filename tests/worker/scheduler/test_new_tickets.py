"""New tickets in a desk's list, independent of its order, clock and pages."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest
from redis.asyncio import Redis

from config.tenants import Tenant
from db.session import Database
from integrations.values import ListedTicket, ListPage
from tests.kit.postgres import Store, Table
from tests.knowledge.plain_desk import SOON, PlainDesk, PlainTicket, add, newest_first
from tests.knowledge.site import site_of
from tests.worker.scheduler.comparison import Comparing

POLLED = Tenant("acme", polled=True, recovers=True)
NewRounds = Callable[..., Comparing]
Seen = Callable[..., Awaitable[tuple[PlainDesk, Comparing]]]


@pytest.fixture
def rounds_of(database: Database, table: Table, redis: Redis) -> NewRounds:
    return lambda desk, **more: Comparing(desk, database, table, redis, tenant=POLLED, **more)


@pytest.fixture
def seen(rounds_of: NewRounds) -> Seen:
    async def begin(desk: PlainDesk | int = 3, **more: Any) -> tuple[PlainDesk, Comparing]:
        """Return a desk with some tickets, and its rounds after the first one."""
        there = PlainDesk.of(desk) if isinstance(desk, int) else desk
        rounds = rounds_of(there, **more)
        await rounds.round()
        return there, rounds

    return begin


def soon(count: int) -> list[timedelta]:
    return [SOON * (number + 1) for number in range(count)]


def each_row(change: Callable[[ListedTicket], ListedTicket]) -> Callable[..., ListPage[ListedTicket]]:
    return lambda _start, page: page._replace(items=[change(row) for row in page.items])


@pytest.mark.parametrize(
    ("there", "new", "turns"),
    [(0, 3, 1), (50, 0, 1), (50, 3, 1), (50, 9, 2), (50, 30, 6)],
    ids=["an empty desk", "nothing new", "a few", "a page", "several pages"],
)
async def test_all_needed_pages_are_read(there: int, new: int, turns: int, seen: Seen) -> None:
    desk, rounds = await seen(there)
    assert rounds.turns == 1
    added = add(desk, *soon(new))
    assert await rounds.round() == ""
    assert rounds.turns == 1 + turns
    assert sorted(rounds.made()) == sorted(added)
    await rounds.round()
    assert len(rounds.made()) == new


async def test_more_than_are_listed_is_told_and_the_newest_are_made(seen: Seen) -> None:
    desk, rounds = await seen(5)
    added = add(desk, *soon(100))
    assert await rounds.round() == "more are new than are listed"
    assert rounds.turns == 1 + 10
    assert set(rounds.rows()) == set(added[-55:])


def oldest_first(tickets: Sequence[PlainTicket]) -> list[PlainTicket]:
    return newest_first(tickets)[::-1]


@pytest.mark.parametrize(
    "order", [oldest_first, lambda tickets: sorted(tickets, key=lambda ticket: ticket.number * 7919 % 101)]
)
async def test_a_list_in_another_order_is_read_to_its_end(order: Any, rounds_of: NewRounds) -> None:
    desk = PlainDesk.of(30)
    desk.order = order
    rounds = rounds_of(desk)
    await rounds.round()
    assert rounds.made() == []
    added = add(desk, SOON, SOON * 2)
    assert await rounds.round() == ""
    assert sorted(rounds.made()) == sorted(added)


async def test_one_in_another_order_that_is_too_long_is_told_of(rounds_of: NewRounds) -> None:
    desk = PlainDesk.of(200)
    desk.order = oldest_first
    rounds = rounds_of(desk)
    for _ in range(2):
        assert await rounds.round() == "its list is in no order"
    assert rounds.rows() == []


async def test_a_list_that_is_of_no_use_is_told_of(seen: Seen) -> None:
    desk, rounds = await seen()
    desk.there = {}
    add(desk, *soon(3))
    desk.on_page = each_row(lambda row: row._replace(created_at=None))
    assert await rounds.round() == "its list has no times"
    rows = [desk._row(ticket) for ticket in newest_first(list(desk.there.values()))]
    desk.on_page = lambda _start, _page: ListPage(rows, has_more=True)
    assert await rounds.round() == "its list repeats itself"
    assert rounds.turns < 7


@pytest.mark.parametrize("odd", [{"ticket_id": "1/../2\n"}, {"is_trashed": True}], ids=["no number", "in the trash"])
async def test_an_odd_row_is_no_new_ticket(odd: dict[str, Any], seen: Seen) -> None:
    desk, rounds = await seen()
    there, other = add(desk, SOON, SOON * 2)
    desk.on_page = each_row(lambda row: row._replace(**odd) if row.ticket_id == other else row)
    await rounds.round()
    assert rounds.rows() == [there]


async def test_what_goes_between_two_pages_hides_no_other_ticket(seen: Seen) -> None:
    desk, rounds = await seen()
    added = add(desk, *soon(15))

    def lose(start: int, page: ListPage[ListedTicket]) -> ListPage[ListedTicket]:
        if start == 1:
            for gone in added[-3:]:
                desk.there.pop(gone, None)
        return page

    desk.on_page = lose
    await rounds.round()
    assert set(added[:-3]) <= set(rounds.rows())


@pytest.mark.parametrize("ahead", [-7200, 7200], ids=["behind", "ahead"])
async def test_a_desks_clock_may_be_off(ahead: int, rounds_of: NewRounds, database: Database, table: Table) -> None:
    async with site_of(database, table, clock_seconds=ahead) as site:
        old = site.new_ticket()
        rounds = rounds_of(site.client)
        await rounds.round()
        for _ in range(3):
            new = site.new_ticket()
            await rounds.round()
            assert rounds.made()[-1] == new
        assert old not in rounds.made()


async def test_a_clock_that_was_put_back_hides_none(rounds_of: NewRounds, database: Database, table: Table) -> None:
    async with site_of(database, table, clock_seconds=-7200) as site:
        put_back = site.new_ticket()
        rounds = rounds_of(site.client)
        for seconds in (0, -3600):
            await rounds.round()
            site.set_desk(clock_seconds=seconds)
            put_back = site.new_ticket()
        await rounds.round()
        assert put_back in rounds.made()


async def test_one_that_is_older_than_the_window_is_nobodys_concern(seen: Seen) -> None:
    desk, rounds = await seen(PlainDesk.of(1, apart=timedelta(days=9)), window=timedelta(hours=6))
    _old, young = add(desk, timedelta(hours=7), timedelta(hours=5))
    await rounds.round()
    assert rounds.rows() == [young]


async def test_a_webhook_may_name_either_number_of_a_cloud_desks_ticket(rounds_of: NewRounds, store: Store) -> None:
    desk = PlainDesk.of(1)
    desk.on_page = each_row(lambda row: row._replace(display_id=row.ticket_id[-3:]))
    rounds = rounds_of(desk)
    await rounds.round()
    by_id, by_display, by_desk_id, missed = add(desk, *soon(4))
    await store.accept(ticket_id=by_id)
    await store.accept(ticket_id=by_display[-3:])
    await store.accept(ticket_id="7", desk_id=by_desk_id)
    await store.accept(ticket_id=missed, tenant_id="globex")
    await rounds.round()
    assert rounds.made() == [missed]


@pytest.mark.parametrize("first_seen", [True, False], ids=["there before", "later"])
async def test_one_of_the_future_does_not_hide_those_that_come_until_then(first_seen: bool, seen: Seen) -> None:
    desk, future = PlainDesk.of(3), timedelta(days=-300)
    if first_seen:
        add(desk, future)
    _, rounds = await seen(desk)
    if not first_seen:
        add(desk, future)
        await rounds.round()
    added = add(desk, *soon(12))
    await rounds.round()
    assert sorted(rounds.made()) == sorted(added)


async def test_where_all_are_of_the_future_it_is_the_desks_clock(seen: Seen) -> None:
    desk = PlainDesk.of(0)
    add(desk, *[timedelta(days=-5, hours=hours) for hours in range(9, 0, -1)])
    _, rounds = await seen(desk)
    added = add(desk, timedelta(days=-5, minutes=-2))
    await rounds.round()
    assert rounds.made() == added
