"""New tickets in a desk's list, independent of its order, clock and pages."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest
from redis.asyncio import Redis

from config.tenants import Tenant
from integrations.servicedesk.parsing import ListedTicket, ListPage
from storage.session import Database
from tests.housekeeping.comparing import Comparing
from tests.housekeeping.plain_desk import SOON, PlainDesk, PlainTicket, add, newest_first
from tests.housekeeping.site import site_of
from tests.kit.postgres import Store, Table

POLLED = Tenant("acme", polled=True, recovers=True)
NewRounds = Callable[..., Comparing]


@pytest.fixture
def rounds_of(database: Database, table: Table, redis: Redis) -> NewRounds:
    def make(desk: Any, **more: Any) -> Comparing:
        return Comparing(desk, database, table, redis, **more)

    return make


@pytest.mark.parametrize(
    ("there", "new", "turns"),
    [(0, 3, 1), (50, 0, 1), (50, 3, 1), (50, 9, 2), (50, 30, 6)],
    ids=["an empty desk", "nothing new", "a few", "a page", "several pages"],
)
async def test_as_many_pages_are_read_as_it_takes(there: int, new: int, turns: int, rounds_of: NewRounds) -> None:
    """Pages of ten rows, five of which repeat the previous page."""
    desk = PlainDesk.of(there, apart=timedelta(hours=1))
    rounds = rounds_of(desk, tenant=POLLED)
    await rounds.round()
    assert rounds.turns == 1
    added = add(desk, *[SOON * (number + 1) for number in range(new)])
    assert await rounds.round() == ""
    assert rounds.turns == 1 + turns
    assert sorted(rounds.made()) == sorted(added)
    await rounds.round()
    assert len(rounds.made()) == new


async def test_more_than_are_listed_is_told_and_the_newest_are_made(rounds_of: NewRounds) -> None:
    desk = PlainDesk.of(5)
    rounds = rounds_of(desk, tenant=POLLED)
    await rounds.round()
    added = add(desk, *[SOON * (number + 1) for number in range(100)])
    assert await rounds.round() == "more are new than are listed"
    assert rounds.turns == 1 + 10
    assert set(rounds.rows()) == set(added[-55:])


def shuffled(tickets: Sequence[PlainTicket]) -> list[PlainTicket]:
    return sorted(newest_first(tickets), key=lambda ticket: ticket.number * 7919 % 101)


def oldest_first(tickets: Sequence[PlainTicket]) -> list[PlainTicket]:
    return newest_first(tickets)[::-1]


@pytest.mark.parametrize("order", [shuffled, oldest_first])
async def test_a_list_in_another_order_is_read_to_its_end(order: Any, rounds_of: NewRounds) -> None:
    desk = PlainDesk.of(30)
    desk.order = order
    rounds = rounds_of(desk, tenant=POLLED)
    await rounds.round()
    assert rounds.made() == []
    added = add(desk, SOON, SOON * 2)
    assert await rounds.round() == ""
    assert sorted(rounds.made()) == sorted(added)


async def test_one_in_another_order_that_is_too_long_is_told_of(rounds_of: NewRounds) -> None:
    desk = PlainDesk.of(200)
    desk.order = oldest_first
    rounds = rounds_of(desk, tenant=POLLED)
    for _ in range(2):
        assert await rounds.round() == "its list is in no order"
    assert rounds.rows() == []


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        (lambda _start, page: page._replace(has_more=True), "its list repeats itself"),
        (
            lambda _start, page: ListPage([each._replace(created_at=None) for each in page.items], has_more=False),
            "times",
        ),
    ],
    ids=["the same page again", "no times"],
)
async def test_a_list_that_is_of_no_use_is_told_of(changed: Any, why: str, rounds_of: NewRounds) -> None:
    desk = PlainDesk.of(3)
    rounds = rounds_of(desk, tenant=POLLED)
    await rounds.round()
    desk.there = {}
    add(desk, *[SOON * (number + 1) for number in range(3)])
    desk.on_page = lambda start, page: changed(start, desk_page(desk) if why != "times" else page)
    assert why in await rounds.round()
    assert rounds.turns < 5


def desk_page(desk: PlainDesk) -> ListPage[ListedTicket]:
    """Return the whole small desk, whatever is requested."""
    rows = [desk._row(ticket) for ticket in newest_first(list(desk.there.values()))]
    return ListPage(rows, has_more=False)


async def test_what_is_no_number_is_no_ticket(rounds_of: NewRounds) -> None:
    desk = PlainDesk.of(3)
    rounds = rounds_of(desk, tenant=POLLED)
    await rounds.round()
    there, _odd = add(desk, SOON, SOON * 2)

    def odd(_start: int, page: ListPage[ListedTicket]) -> ListPage[ListedTicket]:
        items = [each if each.ticket_id == there else each._replace(ticket_id="1/../2\n") for each in page.items]
        return ListPage(items, page.has_more)

    desk.on_page = odd
    await rounds.round()
    assert rounds.rows() == [there]


async def test_one_in_the_trash_is_no_new_ticket(rounds_of: NewRounds) -> None:
    desk = PlainDesk.of(3)
    rounds = rounds_of(desk, tenant=POLLED)
    await rounds.round()
    trashed, there = add(desk, SOON, SOON * 2)

    def mark(_start: int, page: ListPage[ListedTicket]) -> ListPage[ListedTicket]:
        items = [each._replace(is_trashed=each.ticket_id == trashed) for each in page.items]
        return ListPage(items, page.has_more)

    desk.on_page = mark
    await rounds.round()
    assert rounds.rows() == [there]


async def test_what_goes_between_two_pages_hides_no_other_ticket(rounds_of: NewRounds) -> None:
    desk = PlainDesk.of(3)
    rounds = rounds_of(desk, tenant=POLLED)
    await rounds.round()
    added = add(desk, *[SOON * (number + 1) for number in range(15)])

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
        rounds = rounds_of(site.client, tenant=POLLED)
        await rounds.round()
        for _ in range(3):
            new = site.new_ticket()
            await rounds.round()
            assert rounds.made()[-1] == new
        assert old not in rounds.made()


async def test_a_clock_that_was_put_back_hides_no_ticket(
    rounds_of: NewRounds, database: Database, table: Table
) -> None:
    async with site_of(database, table, clock_seconds=-7200) as site:
        site.new_ticket()
        rounds = rounds_of(site.client, tenant=POLLED)
        await rounds.round()
        site.set_desk(clock_seconds=0)
        site.new_ticket()
        await rounds.round()
        site.set_desk(clock_seconds=-3600)
        put_back = site.new_ticket()
        await rounds.round()
        assert put_back in rounds.made()


async def test_one_that_is_older_than_the_window_is_nobodys_concern(rounds_of: NewRounds) -> None:
    """As after days without a comparison."""
    desk = PlainDesk.of(1, apart=timedelta(days=9))
    rounds = rounds_of(desk, tenant=POLLED, window=timedelta(hours=6))
    await rounds.round()
    _old, young = add(desk, timedelta(hours=7), timedelta(hours=5))
    await rounds.round()
    assert rounds.rows() == [young]


async def test_a_webhook_may_name_either_number_of_a_cloud_desks_ticket(rounds_of: NewRounds, store: Store) -> None:
    desk = PlainDesk.of(1)

    def numbered(_start: int, page: ListPage[ListedTicket]) -> ListPage[ListedTicket]:
        items = [each._replace(display_id=each.ticket_id[-3:]) for each in page.items]
        return ListPage(items, page.has_more)

    desk.on_page = numbered
    rounds = rounds_of(desk, tenant=POLLED)
    await rounds.round()
    by_id, by_display, by_desk_id, missed = add(desk, *[SOON * (number + 1) for number in range(4)])
    await store.accept(ticket_id=by_id)
    await store.accept(ticket_id=by_display[-3:])
    await store.accept(ticket_id="7", desk_id=by_desk_id)
    await store.accept(ticket_id=missed, tenant_id="globex")
    await rounds.round()
    assert rounds.made() == [missed]
