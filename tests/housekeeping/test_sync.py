"""Copying a simulated desk into a real Postgres: what is odd is made fit or left out alone, and what is gone goes."""

import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from typing import ClassVar

import httpx
import psycopg
import pytest
from prometheus_client import REGISTRY

from devstack.postgres import Postgres
from housekeeping.sync import Synced, sync_tenant
from integrations.errors import DeskRefused, DeskUnavailable
from integrations.servicedesk.client import ServiceDeskPlus
from integrations.servicedesk.contents import ListedTicket
from integrations.values import DeskTicket
from simulators.servicedesk import create_desk
from storage import history, tombstones
from storage.search import SearchInPostgres
from storage.session import Database
from tests.kit.clock import Clock
from tests.kit.desk import new_ticket, opened, settings
from tests.kit.logs import StartLog
from tests.kit.postgres import Table
from tests.kit.simulators import Simulator, simulator_of

# A pace that nobody waits for; a full copy takes 12 s at it, and asking for old copies ends after 18.
FAST = 3000


@pytest.fixture
def own_desk() -> Iterator[Simulator]:
    """A desk that no other test has made tickets in; none but the test's, and the knowledge base is empty."""
    yield from simulator_of(create_desk({"desks": {"acme": {"api_key": "acme-key", "seeded": False}}}))


@pytest.fixture
async def desk(own_desk: Simulator) -> AsyncIterator[ServiceDeskPlus]:
    """The tenant's client of it."""
    async with opened(settings(own_desk.url)) as client:
        yield client


async def sync(database: Database, desk: ServiceDeskPlus, rate: int = FAST) -> Synced:
    return await sync_tenant(database, desk, "acme", settings("http://desk", rate_per_minute=rate))


def copies(table: Table) -> set[str]:
    return {row["ticket_id"] for row in table.run("SELECT ticket_id FROM tickets")}


def delete(desk: Simulator, ticket_id: str) -> None:
    httpx.delete(f"{desk.url}/_sim/tickets/acme/{ticket_id}").raise_for_status()


def change(desk: Simulator, ticket_id: str, **values: object) -> None:
    desk.change("PATCH", f"/tickets/acme/{ticket_id}", **values)


def resolve(desk: Simulator, ticket_id: str, content: str) -> None:
    url = f"{desk.url}/acme/api/v3/requests/{ticket_id}/resolutions"
    form = {"input_data": json.dumps({"resolution": {"content": content}})}
    httpx.post(url, data=form, headers={"authtoken": "acme-key"}).raise_for_status()


def words(count: int) -> str:
    """As many that are all different."""
    return " ".join(f"w{number:x}" for number in range(count))


def four_byte_words(characters: int) -> str:
    """What needs most room in an index: compounds of rare ideographs, which count as a whole and in parts."""
    units = [chr(0x20000 + number * 7919 % 42000) for number in range(characters)]
    return "".join(unit + ("-" if number % 4 == 3 else "") for number, unit in enumerate(units))[:characters]


@pytest.mark.parametrize(
    "description",
    [
        words(260_000),
        four_byte_words(200_000),
        "<p>" + words(20) + "<img src='data:image/png;base64," + "A" * 1_700_000 + "'>",
    ],
    ids=["1.7 MB of words", "widest characters", "inline image"],
)
async def test_the_longest_text_is_copied_and_found(
    description: str, database: Database, own_desk: Simulator, desk: ServiceDeskPlus, start_log: StartLog
) -> None:
    stream = start_log()
    ticket_id = new_ticket(own_desk, subject="Scanner jams", description=description)
    resolve(own_desk, ticket_id, description)
    assert await sync(database, desk) == Synced(1, 0, 0), stream.getvalue()
    found = await SearchInPostgres(database, 2).similar_tickets("acme", "0", "Scanner jams", "")
    assert [ticket.ticket_id for ticket in found] == [ticket_id]


async def test_half_a_character_in_any_field_is_left_out(
    database: Database, table: Table, own_desk: Simulator, desk: ServiceDeskPlus
) -> None:
    ticket_id = new_ticket(own_desk, subject="My screen \ud83d", description="is\x00 dark \udc00")
    change(own_desk, ticket_id, status="Wait\x00ing \ud83d", in_progress=True)
    assert (await sync(database, desk)).tickets == 1
    (row,) = table.run("SELECT subject, description, status FROM tickets")
    assert row == {"subject": "My screen", "description": "is dark", "status": "Waiting "}
    assert (await sync(database, desk)).tickets == 0


@pytest.fixture
def refused(table: Table) -> Iterator[Callable[[str], None]]:
    """Let the database refuse a ticket of this id."""

    def refuse(ticket_id: str) -> None:
        table.run(
            "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            f" IF NEW.ticket_id = '{ticket_id}' THEN RAISE EXCEPTION 'secret text'; END IF; RETURN NEW; END $$"
        )
        table.run("CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON tickets FOR EACH ROW EXECUTE FUNCTION refuse()")

    yield refuse
    table.run("DROP FUNCTION IF EXISTS refuse CASCADE")


async def test_a_ticket_that_cannot_be_stored_is_a_line_and_the_others_are_copied(
    database: Database,
    table: Table,
    own_desk: Simulator,
    desk: ServiceDeskPlus,
    refused: Callable[[str], None],
    start_log: StartLog,
) -> None:
    stream = start_log()
    first, odd, last = (new_ticket(own_desk) for _ in range(3))
    refused(odd)
    assert (await sync(database, desk)).tickets == 2
    assert copies(table) == {first, last}
    (line,) = [line for line in stream.getvalue().splitlines() if "Sync error" in line]
    assert "Sync error: tenant_id=acme, reason=could not be stored" in line
    assert f"ticket_id: {odd}" in line
    assert "secret text" not in line


async def test_a_copy_whose_row_is_locked_is_a_line_and_the_others_are_copied(
    server: Postgres, database: Database, table: Table, own_desk: Simulator, desk: ServiceDeskPlus, start_log: StartLog
) -> None:
    """Whoever holds it, an operator or a peer that vanished: the copying of nothing else ends with it."""
    locked, last = (new_ticket(own_desk) for _ in range(2))
    await sync(database, desk)
    change(own_desk, locked, status="Onhold")
    newer = new_ticket(own_desk)
    stream = start_log()
    with psycopg.connect(server.superuser_url) as holder:
        holder.execute("SELECT 1 FROM tickets WHERE ticket_id = %s FOR UPDATE", (locked,))
        await sync(database, desk)
        holder.rollback()
    assert copies(table) == {locked, last, newer}
    (line,) = [line for line in stream.getvalue().splitlines() if "Sync error" in line]
    assert f"ticket_id: {locked}" in line


@pytest.mark.parametrize("fault", [{"kind": "status", "code": 403}, {"kind": "not_json"}], ids=["403", "odd answer"])
async def test_a_ticket_that_is_not_given_is_a_line_but_four_in_a_row_are_a_failure(
    fault: dict[str, object],
    database: Database,
    table: Table,
    own_desk: Simulator,
    desk: ServiceDeskPlus,
    start_log: StartLog,
) -> None:
    stream = start_log()
    tickets = [new_ticket(own_desk) for _ in range(6)]
    for ticket_id in tickets[2:5]:
        own_desk.order(**fault, operation="read_ticket", ticket_id=ticket_id)
    assert (await sync(database, desk)).tickets == 3
    assert copies(table) == {*tickets[:2], tickets[5]}
    assert [f"ticket_id: {ticket_id}" in stream.getvalue() for ticket_id in tickets] == [False] * 2 + [True] * 3 + [
        False
    ]
    own_desk.order(**fault | {"times": 4}, operation="read_ticket")
    for ticket_id in tickets:
        change(own_desk, ticket_id, status="Onhold")
    with pytest.raises(DeskRefused) if "code" in fault else pytest.raises(Exception, match="invalid answer"):
        await sync(database, desk)


async def test_tickets_that_the_desk_never_gives_end_no_later_sync(
    database: Database, table: Table, own_desk: Simulator, desk: ServiceDeskPlus
) -> None:
    """Scattered among others as they come, they are all that is new in the next sync."""
    old, *others = (new_ticket(own_desk) for _ in range(6))
    await sync(database, desk)
    odd = [new_ticket(own_desk) for _ in range(4)]
    for ticket_id in odd:
        own_desk.order(kind="status", code=403, operation="read_ticket", ticket_id=ticket_id, times=99)
    table.run("UPDATE tickets SET seen_at = now() - interval '3 days' WHERE ticket_id = %s", old)
    delete(own_desk, old)
    assert (await sync(database, desk)).removed == 1
    assert copies(table) == set(others)
    with pytest.raises(DeskRefused):
        await sync(database, desk)


async def test_a_ticket_in_the_trash_that_is_still_listed_leaves_no_copy(database: Database, table: Table) -> None:
    body = {"id": "1", "subject": "s", "description": "d", "status": {"name": "Open"}, "is_trashed": False}

    def answer(request: httpx.Request) -> httpx.Response:
        empty: dict[str, object] = {"response_status": {"status_code": 2000, "status": "success"}}
        if request.url.path.endswith("/requests"):
            return httpx.Response(200, json=empty | {"requests": [body]})
        return httpx.Response(200, json=empty | ({"request": body} if "requests" in request.url.path else {}))

    async with opened(settings("http://desk"), transport=httpx.MockTransport(answer)) as desk:
        assert await sync(database, desk) == Synced(1, 0, 0)
        body["is_trashed"] = True
        assert await sync(database, desk) == Synced(0, 0, 1)
    assert copies(table) == set()


@pytest.mark.parametrize("trashed_is_missing", [False, True])
async def test_a_copy_goes_when_its_ticket_is_deleted_or_trashed_but_not_when_closed(
    trashed_is_missing: bool, database: Database, table: Table, own_desk: Simulator, desk: ServiceDeskPlus
) -> None:
    own_desk.change("PATCH", "/desks/acme", trashed_is_missing=trashed_is_missing)
    deleted, trashed, closed, open_one = (new_ticket(own_desk) for _ in range(4))
    assert await sync(database, desk) == Synced(4, 0, 0)
    delete(own_desk, deleted)
    change(own_desk, trashed, is_trashed=True)
    change(own_desk, closed, status="Closed")
    assert await sync(database, desk) == Synced(1, 0, 2)
    assert copies(table) == {closed, open_one}
    own_desk.forget()
    assert await sync(database, desk) == Synced(0, 0, 0)
    assert not own_desk.requests(operation="read_ticket")


async def test_a_ticket_deleted_between_the_list_and_the_reading_leaves_no_copy(
    database: Database, table: Table, own_desk: Simulator, desk: ServiceDeskPlus
) -> None:
    ticket_id = new_ticket(own_desk)
    await sync(database, desk)
    change(own_desk, ticket_id, status="Onhold")
    own_desk.order(kind="status", code=404, operation="read_ticket", ticket_id=ticket_id)
    assert await sync(database, desk) == Synced(0, 0, 1)
    assert not copies(table)


async def test_a_copy_beyond_the_newest_is_asked_for_once_and_then_once_a_day(
    database: Database, table: Table, own_desk: Simulator, desk: ServiceDeskPlus
) -> None:
    kept = new_ticket(own_desk, subject="Before")
    await sync(database, desk)
    newer = [new_ticket(own_desk) for _ in range(100)]
    own_desk.forget()
    assert (await sync(database, desk)).tickets == 100
    assert {call["ticket_id"] for call in own_desk.requests(operation="read_ticket")} == {kept, *newer}
    change(own_desk, kept, subject="After")
    table.run("UPDATE tickets SET synced_at = now() - interval '3 days' WHERE ticket_id = %s", kept)
    (listed,) = table.run("SELECT synced_at FROM tickets WHERE ticket_id = %s", kept)
    own_desk.forget()
    assert await sync(database, desk) == Synced(0, 0, 0)
    assert not own_desk.requests(operation="read_ticket")
    table.run("UPDATE tickets SET seen_at = now() - interval '21 hours' WHERE ticket_id = %s", kept)
    assert await sync(database, desk) == Synced(0, 0, 0)
    (row,) = table.run(
        "SELECT subject, synced_at, seen_at > now() - interval '1 minute' AS seen FROM tickets WHERE ticket_id = %s",
        kept,
    )
    assert row == {"subject": "After", **listed, "seen": True}


def unseen(table: Table) -> set[str]:
    return {
        row["ticket_id"]
        for row in table.run("SELECT ticket_id FROM tickets WHERE seen_at < now() - interval '1 minute'")
    }


def age(table: Table, *, except_newest: int) -> None:
    """The copies were last seen the day before, those of the newest tickets just now; none is newly missing."""
    table.run(
        "UPDATE tickets SET synced_at = now() - interval '3 days', seen_at = now() - interval '1 day' WHERE ticket_id"
        " NOT IN (SELECT ticket_id FROM tickets ORDER BY ticket_id::bigint DESC LIMIT %s)",
        except_newest,
    )


async def copied_and_old(database: Database, table: Table, own_desk: Simulator, count: int = 320) -> list[str]:
    """Tickets of a desk, each with a copy that it has not shown for a day, but of the newest 100; oldest first."""
    tickets = [new_ticket(own_desk) for _ in range(count)]
    for ticket_id in tickets:
        copy = {"ticket_id": ticket_id, "subject": "s", "description": "d", "resolution": "r", "status": "Open"}
        await history.save_ticket(database, "acme", copy)
    age(table, except_newest=100)
    own_desk.forget()
    return tickets


async def test_old_copies_are_seen_in_lists_and_only_what_differs_is_asked_for(
    database: Database, table: Table, own_desk: Simulator, desk: ServiceDeskPlus
) -> None:
    (gone, changed, *others) = await copied_and_old(database, table, own_desk)
    delete(own_desk, gone)
    change(own_desk, changed, status="Resolved")
    assert await sync(database, desk) == Synced(0, 0, 1)
    assert {call["ticket_id"] for call in own_desk.requests(operation="read_ticket")} == {gone, changed}
    assert len(own_desk.requests(operation="list_tickets")) == 5
    assert copies(table) == {changed, *others}
    assert unseen(table) == set()
    (row,) = table.run("SELECT status FROM tickets WHERE ticket_id = %s", changed)
    assert row["status"] == "Resolved"


async def test_looking_further_ends_when_its_time_is_over_or_all_are_seen(
    database: Database, table: Table, own_desk: Simulator, desk: ServiceDeskPlus
) -> None:
    await copied_and_old(database, table, own_desk)
    await sync(database, desk, rate=30_000_000)
    assert len(unseen(table)) == 220
    await sync(database, desk)
    assert len(own_desk.requests(operation="list_tickets")) == 1 + 4
    assert unseen(table) == set()


class Pages(ServiceDeskPlus):
    """Notes which pages are wanted."""

    starts: ClassVar[list[int]] = []

    async def list_newest(self, most: int, start: int = 1) -> list[ListedTicket]:
        self.starts.append(start)
        return await super().list_newest(most, start)


async def test_a_sync_goes_on_where_the_last_one_ended_and_comes_round_to_the_rest(
    database: Database, table: Table, own_desk: Simulator, desk: ServiceDeskPlus
) -> None:
    tickets = await copied_and_old(database, table, own_desk, count=520)
    table.run("UPDATE tickets SET seen_at = now() WHERE ticket_id = ANY(%s)", [*tickets[120:250], *tickets[252:]])
    desk.__class__ = Pages
    await sync(database, desk)
    assert Pages.starts == [1, 299, 399, 499, 521, 101, 201]
    assert unseen(table) == set()
    assert not own_desk.requests(operation="read_ticket")


@pytest.mark.parametrize("how", [DeskUnavailable("500"), DeskRefused("400")], ids=["500", "400"])
async def test_a_desk_that_fails_at_its_second_page_is_asked_for_each_copy(
    how: Exception, database: Database, table: Table, own_desk: Simulator, desk: ServiceDeskPlus
) -> None:
    class NoSecondPage(ServiceDeskPlus):
        async def list_newest(self, most: int, start: int = 1) -> list[ListedTicket]:
            if start > 1:
                raise how
            return await super().list_newest(most)

    gone, *others = await copied_and_old(database, table, own_desk, count=104)
    delete(own_desk, gone)
    desk.__class__ = NoSecondPage
    assert await sync(database, desk) == Synced(0, 0, 1)
    assert copies(table) == set(others)


class Slow(ServiceDeskPlus):
    """A desk each of whose answers takes 3 of the 18 seconds that a sync has."""

    clock: ClassVar = Clock(0)

    async def list_newest(self, most: int, start: int = 1) -> list[ListedTicket]:
        Slow.clock.now += 3
        return await super().list_newest(most, start)

    async def read_ticket(self, ticket_id: str) -> DeskTicket:
        Slow.clock.now += 3
        return await super().read_ticket(ticket_id)


async def test_copies_that_no_list_shows_are_asked_for_without_time_for_all_pages(
    database: Database, table: Table, own_desk: Simulator, desk: ServiceDeskPlus
) -> None:
    tickets = await copied_and_old(database, table, own_desk, count=620)
    for ticket_id in (gone := tickets[:5]):
        delete(own_desk, ticket_id)
    desk.__class__ = Slow
    desk_settings = settings("http://desk", rate_per_minute=FAST)
    for _ in range(8):
        await sync_tenant(database, desk, "acme", desk_settings, monotonic=Slow.clock)
    assert copies(table) == set(tickets) - set(gone)
    assert unseen(table) == set()


async def test_a_page_of_trash_does_not_end_the_list(
    database: Database, table: Table, own_desk: Simulator, desk: ServiceDeskPlus
) -> None:
    class Trash(Pages):
        async def list_newest(self, most: int, start: int = 1) -> list[ListedTicket]:
            page = await super().list_newest(most, start)
            return [each._replace(is_trashed=True) for each in page] if start == 101 else page

    tickets = await copied_and_old(database, table, own_desk, count=320)
    desk.__class__ = Trash
    Pages.starts.clear()
    await sync(database, desk)
    assert Pages.starts == [1, 101, 201, 301, 321]
    # Asked for, each: the desk has them after all.
    assert {call["ticket_id"] for call in own_desk.requests(operation="read_ticket")} == set(tickets[120:220])
    assert copies(table) == set(tickets)


class OnePage(ServiceDeskPlus):
    """A desk that lists its newest whatever page is wanted."""

    async def list_newest(self, most: int, start: int = 1) -> list[ListedTicket]:  # noqa: ARG002 -- as it does
        return await super().list_newest(most)


async def test_a_desk_that_repeats_its_first_page_is_asked_for_each_copy(
    database: Database, table: Table, own_desk: Simulator, desk: ServiceDeskPlus
) -> None:
    await copied_and_old(database, table, own_desk, count=120)
    desk.__class__ = OnePage
    await sync(database, desk)
    assert unseen(table) == set()
    assert len(own_desk.requests(operation="list_tickets")) == 2


def oldest_seen() -> float:
    told = REGISTRY.get_sample_value("ai_agents_oldest_copy_seen_timestamp_seconds", {"tenant_id": "acme"})
    assert told is not None
    return told


async def test_how_long_a_copy_was_not_shown_is_told_also_when_the_desk_fails(
    database: Database, table: Table, own_desk: Simulator, desk: ServiceDeskPlus
) -> None:
    await sync(database, desk)
    assert time.time() - oldest_seen() < 60
    new_ticket(own_desk)
    await sync(database, desk)
    assert time.time() - oldest_seen() < 60
    age(table, except_newest=0)
    own_desk.order(kind="status", code=503, times=1)
    with suppress(DeskUnavailable):
        await sync(database, desk)
    assert 86_300 < time.time() - oldest_seen() < 86_500
    await sync(database, desk)
    assert time.time() - oldest_seen() < 60


async def test_copies_that_the_desk_no_longer_shows_us_keep_no_other_from_being_asked_for(
    database: Database, table: Table, own_desk: Simulator, desk: ServiceDeskPlus
) -> None:
    """More of them than a desk may refuse in a row: each is asked for once a day, as all are."""
    hidden = [new_ticket(own_desk) for _ in range(6)]
    deleted = new_ticket(own_desk)
    await sync(database, desk)
    for _ in range(100):
        new_ticket(own_desk)
    await sync(database, desk)
    for age, ticket_id in enumerate([deleted, *hidden], 21):
        table.run(
            "UPDATE tickets SET seen_at = now() - make_interval(hours => %s), synced_at = now()"
            " - interval '3 days' WHERE ticket_id = %s",
            age,
            ticket_id,
        )
    delete(own_desk, deleted)
    for ticket_id in hidden:
        own_desk.order(kind="status", code=403, operation="read_ticket", ticket_id=ticket_id, times=99)
    for _ in range(2):
        with suppress(DeskRefused):
            await sync(database, desk)
    assert deleted not in copies(table)
    assert {*hidden} <= copies(table)
    own_desk.change("DELETE", "/requests")
    await sync(database, desk)
    assert not own_desk.requests(operation="read_ticket")


async def test_asking_ends_with_its_time_and_the_next_sync_goes_on(
    database: Database, table: Table, own_desk: Simulator, desk: ServiceDeskPlus
) -> None:
    ticket_id = new_ticket(own_desk)
    await sync(database, desk)
    delete(own_desk, ticket_id)
    assert await sync(database, desk, rate=30_000_000) == Synced(0, 0, 0)
    assert copies(table) == {ticket_id}
    assert await sync(database, desk) == Synced(0, 0, 1)


async def test_passages_of_a_solution_that_is_gone_go(database: Database, table: Table, desks: Simulator) -> None:
    """One that is still listed, and one that is not; passages of those that are there stay."""
    async with opened(settings(desks.url)) as desk:
        await sync(database, desk)
        (first, *others) = [row["source_id"] for row in table.run("SELECT DISTINCT source_id FROM passages")]
        await history.save_passages(database, "acme", "999999", "Old", ["a", "b"])
        desks.order(kind="status", code=404, operation="read_solution", times=1)
        removed = (await sync(database, desk)).removed
        assert removed >= 3
        left = [row["source_id"] for row in table.run("SELECT DISTINCT source_id FROM passages")]
        assert len(left) == len(others)
        assert set(left) < {first, *others}
        assert (await sync(database, desk)).removed == 0


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


async def test_a_copy_of_what_was_forgotten_goes_with_the_next_sync(
    database: Database, table: Table, own_desk: Simulator, desk: ServiceDeskPlus
) -> None:
    """However it came to be there: its status is as the desk lists it, so it would not be read again."""
    forgotten, other = (new_ticket(own_desk) for _ in range(2))
    await sync(database, desk)
    async with database.tenant("acme") as session:
        await tombstones.lock(session, "acme", shared=False)
        await tombstones.leave(session, "acme", [tombstones.of_ticket(forgotten)])
    assert await sync(database, desk) == Synced(0, 0, 1)
    assert copies(table) == {other}
