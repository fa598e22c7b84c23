"""Single tickets with impossible times do not affect the others."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from redis.asyncio import Redis

from config.tenants import Tenant
from integrations.servicedesk.parsing import ListedTicket, ListPage
from storage.session import Database
from tests.housekeeping.comparing import Comparing
from tests.housekeeping.plain_desk import SOON, PlainDesk, add
from tests.kit.postgres import Table

POLLED = Tenant("acme", polled=True, recovers=True)
FUTURE = timedelta(days=-300)
RoundsOver = Callable[[PlainDesk], Comparing]


@pytest.fixture
def rounds_over(database: Database, table: Table, redis: Redis) -> RoundsOver:
    return lambda desk: Comparing(desk, database, table, redis, tenant=POLLED)


async def test_one_of_the_future_does_not_hide_those_that_come_until_then(rounds_over: RoundsOver) -> None:
    desk = PlainDesk.of(3)
    rounds = rounds_over(desk)
    await rounds.round()
    add(desk, FUTURE)
    await rounds.round()
    added = add(desk, *[SOON * (number + 1) for number in range(12)])
    await rounds.round()
    assert sorted(rounds.made()) == sorted(added)


async def test_nor_does_one_that_was_there_when_the_tenant_was_first_seen(rounds_over: RoundsOver) -> None:
    desk = PlainDesk.of(3)
    add(desk, FUTURE)
    rounds = rounds_over(desk)
    await rounds.round()
    added = add(desk, SOON, SOON * 2)
    await rounds.round()
    assert sorted(rounds.made()) == sorted(added)


async def test_where_all_are_of_the_future_it_is_the_desks_clock(rounds_over: RoundsOver) -> None:
    desk = PlainDesk.of(0)
    add(desk, *[timedelta(days=-5, hours=hours) for hours in range(9, 0, -1)])
    rounds = rounds_over(desk)
    await rounds.round()
    added = add(desk, timedelta(days=-5, minutes=-2))
    await rounds.round()
    assert rounds.made() == added


async def test_one_without_a_time_is_no_reason_to_miss_the_others(rounds_over: RoundsOver) -> None:
    desk = PlainDesk.of(3)
    rounds = rounds_over(desk)
    await rounds.round()
    first, odd, last = add(desk, *[SOON * (number + 1) for number in range(3)])

    def lose(_start: int, page: ListPage[ListedTicket]) -> ListPage[ListedTicket]:
        items = [each._replace(created_at=None) if each.ticket_id == odd else each for each in page.items]
        return ListPage(items, page.has_more)

    desk.on_page = lose
    assert await rounds.round() == ""
    assert rounds.made() == [first, last]
