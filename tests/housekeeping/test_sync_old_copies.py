"""Copies of what the desk's newest no longer shows: seen in further pages of its list, or asked for one by one."""

import time
from contextlib import suppress
from typing import ClassVar

import pytest
from prometheus_client import REGISTRY

from housekeeping.synced import Synced
from integrations.errors import DeskRefused, DeskUnavailable
from integrations.servicedesk.client import ServiceDeskPlus
from integrations.servicedesk.contents import ListedTicket
from integrations.values import DeskTicket
from storage import history
from storage.session import Database
from tests.housekeeping.site import Site
from tests.kit.clock import Clock
from tests.kit.postgres import Table


async def test_a_copy_beyond_the_newest_is_asked_for_once_and_then_once_a_day(site: Site) -> None:
    kept = site.new_ticket(subject="Before")
    await site.sync()
    newer = site.new_tickets(100)
    site.desk.forget()
    assert (await site.sync()).tickets == 100
    assert site.asked_for() == {kept, *newer}
    site.change(kept, subject="After")
    site.table.run("UPDATE tickets SET synced_at = now() - interval '3 days' WHERE ticket_id = %s", kept)
    (listed,) = site.table.run("SELECT synced_at FROM tickets WHERE ticket_id = %s", kept)
    site.desk.forget()
    assert await site.sync() == Synced(0, 0, 0)
    assert not site.asked_for()
    site.table.run("UPDATE tickets SET seen_at = now() - interval '21 hours' WHERE ticket_id = %s", kept)
    assert await site.sync() == Synced(0, 0, 0)
    (row,) = site.table.run(
        "SELECT subject, synced_at, seen_at > now() - interval '1 minute' AS seen FROM tickets WHERE ticket_id = %s",
        kept,
    )
    assert row == {"subject": "After", **listed, "seen": True}


async def test_old_copies_are_seen_in_lists_and_only_what_differs_is_asked_for(site: Site) -> None:
    (gone, changed, *others) = site.copied_and_old()
    site.delete(gone)
    site.change(changed, status="Resolved")
    assert await site.sync() == Synced(0, 0, 1)
    assert site.asked_for() == {gone, changed}
    assert len(site.desk.requests(operation="list_tickets")) == 5
    assert site.copies() == {changed, *others}
    assert site.unseen() == set()
    (row,) = site.table.run("SELECT status FROM tickets WHERE ticket_id = %s", changed)
    assert row["status"] == "Resolved"


async def test_looking_further_ends_when_its_time_is_over_or_all_are_seen(site: Site) -> None:
    site.copied_and_old()
    await site.sync(rate=30_000_000)
    assert len(site.unseen()) == 220
    await site.sync()
    assert len(site.desk.requests(operation="list_tickets")) == 1 + 4
    assert site.unseen() == set()


class Pages(ServiceDeskPlus):
    """Notes which pages are wanted."""

    starts: ClassVar[list[int]] = []

    async def list_newest(self, most: int, start: int = 1) -> list[ListedTicket]:
        self.starts.append(start)
        return await super().list_newest(most, start)


async def test_a_sync_goes_on_where_the_last_one_ended_and_comes_round_to_the_rest(site: Site) -> None:
    tickets = site.copied_and_old(count=520)
    site.table.run("UPDATE tickets SET seen_at = now() WHERE ticket_id = ANY(%s)", [*tickets[120:250], *tickets[252:]])
    site.client.__class__ = Pages
    await site.sync()
    assert Pages.starts == [1, 299, 399, 499, 521, 101, 201]
    assert site.unseen() == set()
    assert not site.asked_for()


@pytest.mark.parametrize("how", [DeskUnavailable("500"), DeskRefused("400")], ids=["500", "400"])
async def test_a_desk_that_fails_at_its_second_page_is_asked_for_each_copy(how: Exception, site: Site) -> None:
    class NoSecondPage(ServiceDeskPlus):
        async def list_newest(self, most: int, start: int = 1) -> list[ListedTicket]:
            if start > 1:
                raise how
            return await super().list_newest(most)

    gone, *others = site.copied_and_old(count=104)
    site.delete(gone)
    site.client.__class__ = NoSecondPage
    assert await site.sync() == Synced(0, 0, 1)
    assert site.copies() == set(others)


class LateDesk(ServiceDeskPlus):
    """A desk each of whose answers takes 3 of the 18 seconds that a sync has."""

    clock: ClassVar = Clock(0)

    async def list_newest(self, most: int, start: int = 1) -> list[ListedTicket]:
        LateDesk.clock.now += 3
        return await super().list_newest(most, start)

    async def read_ticket(self, ticket_id: str) -> DeskTicket:
        LateDesk.clock.now += 3
        return await super().read_ticket(ticket_id)


async def test_copies_that_no_list_shows_are_asked_for_without_time_for_all_pages(site: Site) -> None:
    tickets = site.copied_and_old(count=620)
    for ticket_id in (gone := tickets[:5]):
        site.delete(ticket_id)
    site.client.__class__ = LateDesk
    for _ in range(8):
        await site.sync(monotonic=LateDesk.clock)
    assert site.copies() == set(tickets) - set(gone)
    assert site.unseen() == set()


async def test_a_page_of_trash_does_not_end_the_list(site: Site) -> None:
    class Trash(Pages):
        async def list_newest(self, most: int, start: int = 1) -> list[ListedTicket]:
            page = await super().list_newest(most, start)
            return [each._replace(is_trashed=True) for each in page] if start == 101 else page

    tickets = site.copied_and_old(count=320)
    site.client.__class__ = Trash
    Pages.starts.clear()
    await site.sync()
    assert Pages.starts == [1, 101, 201, 301, 321]
    # Asked for, each: the desk has them after all.
    assert site.asked_for() == set(tickets[120:220])
    assert site.copies() == set(tickets)


class OnePage(ServiceDeskPlus):
    """A desk that lists its newest whatever page is wanted."""

    async def list_newest(self, most: int, start: int = 1) -> list[ListedTicket]:  # noqa: ARG002 -- as it does
        return await super().list_newest(most)


async def test_a_desk_that_repeats_its_first_page_is_asked_for_each_copy(site: Site) -> None:
    site.copied_and_old(count=120)
    site.client.__class__ = OnePage
    await site.sync()
    assert site.unseen() == set()
    assert len(site.desk.requests(operation="list_tickets")) == 2


def unseen_for() -> float:
    told = REGISTRY.get_sample_value("ai_agents_oldest_copy_seen_timestamp_seconds", {"tenant_id": "acme"})
    return time.time() - (told or 0)


async def test_how_long_a_copy_was_not_shown_is_told_also_when_the_desk_fails(site: Site) -> None:
    await site.sync()
    assert unseen_for() < 60
    site.new_ticket()
    await site.sync()
    assert unseen_for() < 60
    site.age(except_newest=0)
    site.desk.order(kind="status", code=503, times=1)
    with suppress(DeskUnavailable):
        await site.sync()
    assert 86_300 < unseen_for() < 86_500
    await site.sync()
    assert unseen_for() < 60


async def test_copies_that_the_desk_no_longer_shows_us_keep_no_other_from_being_asked_for(site: Site) -> None:
    """More of them than a desk may refuse in a row: each is asked for once a day, as all are."""
    hidden = site.new_tickets(6)
    deleted = site.new_ticket()
    await site.sync()
    site.new_tickets(100)
    await site.sync()
    for age, ticket_id in enumerate([deleted, *hidden], 21):
        site.table.run(
            "UPDATE tickets SET seen_at = now() - make_interval(hours => %s), synced_at = now()"
            " - interval '3 days' WHERE ticket_id = %s",
            age,
            ticket_id,
        )
    site.delete(deleted)
    for ticket_id in hidden:
        site.desk.order(kind="status", code=403, operation="read_ticket", ticket_id=ticket_id, times=99)
    for _ in range(2):
        with suppress(DeskRefused):
            await site.sync()
    assert deleted not in site.copies()
    assert {*hidden} <= site.copies()
    site.desk.change("DELETE", "/requests")
    await site.sync()
    assert not site.asked_for()


async def test_asking_ends_with_its_time_and_the_next_sync_goes_on(site: Site) -> None:
    ticket_id = site.new_ticket()
    await site.sync()
    site.delete(ticket_id)
    assert await site.sync(rate=30_000_000) == Synced(0, 0, 0)
    assert site.copies() == {ticket_id}
    assert await site.sync() == Synced(0, 0, 1)


async def test_what_is_newly_missing_is_asked_for_first_then_what_was_longest_unseen(
    database: Database, table: Table
) -> None:
    ticket = {"subject": "s", "description": "d", "resolution": "r", "status": "Open"}
    for number in range(6):
        for tenant_id in ("acme", "globex"):
            await history.save_ticket(database, tenant_id, {"ticket_id": str(number), **ticket})
            await history.save_passages(database, tenant_id, str(number), "t", ["a", "b"])
    for name, key in (("tickets", "ticket_id"), ("passages", "source_id")):
        for number, hours in ((1, 30), (2, 40), (3, 19), (4, 50)):
            table.run(
                f"UPDATE {name} SET seen_at = now() - make_interval(hours => %s),"  # noqa: S608 -- a test's own
                f" synced_at = now() - interval '9 days' WHERE tenant_id = 'acme' AND {key} = %s",
                hours,
                str(number),
            )
    for question in (history.tickets_to_ask_for, history.solutions_to_ask_for):
        assert await question(database, "acme", ["0"], hours=20, most=9) == ["5", "4", "2", "1"]
        assert await question(database, "acme", ["0", "4"], hours=20, most=2) == ["5", "2"]
        assert await question(database, "acme", [], hours=20, most=1) in (["0"], ["5"])
