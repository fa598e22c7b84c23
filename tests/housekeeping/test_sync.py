"""Sync of a simulated desk into a real Postgres: odd items and deletions."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import psycopg
import pytest

from devstack.postgres import Postgres
from housekeeping.synced import Synced
from integrations.errors import DeskRefused
from storage import history, tombstones
from storage.search import SearchInPostgres
from tests.housekeeping.site import Site, resolve
from tests.kit.clock import Clock
from tests.kit.desk import holds_by, opened, settings
from tests.kit.logs import StartLog
from tests.kit.postgres import Table


def words(count: int) -> str:
    return " ".join(f"w{number:x}" for number in range(count))


def four_byte_words(characters: int) -> str:
    """Return words of rare ideographs, which need the most room in an index.

    They are indexed whole and in parts.
    """
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
async def test_the_longest_text_is_copied_and_found(description: str, start_log: StartLog, site: Site) -> None:
    stream = start_log()
    ticket_id = site.new_ticket(subject="Scanner jams", description=description)
    resolve(site, ticket_id, description)
    assert await site.sync() == Synced(1, 0, 0), stream.getvalue()
    found = await SearchInPostgres(site.database, 2, least=0).similar_tickets("acme", "0", "Scanner jams", "", {})
    assert [ticket.ticket_id for ticket in found] == [ticket_id]


async def test_half_a_character_in_any_field_is_left_out(site: Site) -> None:
    ticket_id = site.new_ticket(subject="My screen \ud83d", description="is\x00 dark \udc00")
    site.change(ticket_id, status="Wait\x00ing \ud83d", in_progress=True)
    assert (await site.sync()).tickets == 1
    (row,) = site.table.run("SELECT subject, description, status FROM tickets")
    assert row == {"subject": "My screen", "description": "is dark", "status": "Waiting "}
    assert (await site.sync()).tickets == 0


@pytest.fixture
def refused(table: Table) -> Iterator[Callable[[str], None]]:
    def refuse(ticket_id: str) -> None:
        table.run(
            "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            f" IF NEW.ticket_id = '{ticket_id}' THEN RAISE EXCEPTION 'secret text'; END IF; RETURN NEW; END $$"
        )
        table.run("CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON tickets FOR EACH ROW EXECUTE FUNCTION refuse()")

    yield refuse
    table.run("DROP FUNCTION IF EXISTS refuse CASCADE")


async def test_a_ticket_that_cannot_be_stored_is_a_line_and_the_others_are_copied(
    refused: Callable[[str], None], start_log: StartLog, site: Site
) -> None:
    stream = start_log()
    first, odd, last = site.new_tickets(3)
    refused(odd)
    assert (await site.sync()).tickets == 2
    assert site.copies() == {first, last}
    (line,) = [line for line in stream.getvalue().splitlines() if "Sync error" in line]
    assert "Sync error: tenant_id=acme, reason=could not be stored" in line
    assert f"ticket_id: {odd}" in line
    assert "secret text" not in line


async def test_a_copy_whose_row_is_locked_is_a_line_and_the_others_are_copied(
    server: Postgres, start_log: StartLog, site: Site
) -> None:
    """The lock may be an operator's or that of a vanished peer; other copying goes on."""
    locked, last = site.new_tickets(2)
    await site.sync()
    site.change(locked, status="Onhold")
    newer = site.new_ticket()
    stream = start_log()
    with psycopg.connect(server.superuser_url) as holder:
        holder.execute("SELECT 1 FROM tickets WHERE ticket_id = %s FOR UPDATE", (locked,))
        await site.sync()
        holder.rollback()
    assert site.copies() == {locked, last, newer}
    (line,) = [line for line in stream.getvalue().splitlines() if "Sync error" in line]
    assert f"ticket_id: {locked}" in line


@pytest.mark.parametrize("fault", [{"kind": "status", "code": 403}, {"kind": "not_json"}], ids=["403", "odd answer"])
async def test_a_ticket_that_is_not_given_is_a_line_but_four_in_a_row_are_a_failure(
    fault: dict[str, Any], start_log: StartLog, site: Site
) -> None:
    stream = start_log()
    tickets = site.new_tickets(6)
    for ticket_id in tickets[2:5]:
        site.desk.order(**fault, operation="read_ticket", ticket_id=ticket_id)
    assert (await site.sync()).tickets == 3
    assert site.copies() == {*tickets[:2], tickets[5]}
    said = [f"ticket_id: {ticket_id}" in stream.getvalue() for ticket_id in tickets]
    assert said == [False] * 2 + [True] * 3 + [False]
    site.desk.order(**fault | {"times": 4}, operation="read_ticket")
    for ticket_id in [*tickets[:2], tickets[5], site.new_ticket()]:
        site.change(ticket_id, status="Onhold")
    with pytest.raises(DeskRefused) if "code" in fault else pytest.raises(Exception, match="invalid answer"):
        await site.sync()


@pytest.mark.parametrize("code", [401, 403])
async def test_a_desk_that_refuses_its_solutions_is_copied_without(code: int, start_log: StartLog, site: Site) -> None:
    """A scope is missing: each sync completes, holds no job and deletes no solution."""
    stream, tickets, reason = start_log(), site.new_tickets(3), f"ServiceDesk Plus API: {code}"
    await history.save_passages(site.database, "acme", "999999", "Old", ["a"])
    for operation in ("list_solutions", "read_solution"):
        site.desk.order(kind="status", code=code, operation=operation)
    async with opened(settings(site.desk.url), holds=holds_by(Clock())) as site.client:
        assert await site.sync() == Synced(3, 0, 0, with_solutions=False, stopped=reason)
        tickets.append(site.new_ticket())
        site.hours_pass(25)
        assert await site.sync() == Synced(1, 0, 0, with_solutions=False, stopped=reason)
    assert site.copies() == set(tickets)
    assert site.table.run("SELECT count(*) AS left FROM passages") == [{"left": 1}]
    assert site.desk.requests(operation="read_solution") == []
    refused = f"Solutions not copied: tenant_id=acme, reason=ServiceDesk Plus API: {code}"
    assert stream.getvalue().count(refused) == 2
    assert "Hold error" not in stream.getvalue()


async def test_what_the_desk_refuses_is_asked_for_once_a_day_and_is_in_no_others_way(site: Site) -> None:
    """As tickets of a group that our technician may not see."""
    hidden = site.new_tickets(4)
    for ticket_id in hidden:
        site.desk.order(kind="status", code=403, operation="read_ticket", ticket_id=ticket_id, times=99)
    with pytest.raises(DeskRefused):
        await site.sync()
    others = site.new_tickets(3)
    assert (await site.sync()).tickets == 3
    assert site.asked_for() == {*hidden, *others}
    site.desk.change("DELETE", "/requests")
    for ticket_id in hidden:
        site.change(ticket_id, status="Onhold")
    await site.sync()
    assert site.asked_for() == set()
    site.hours_pass(21)
    with pytest.raises(DeskRefused):
        await site.sync()
    assert site.asked_for() == set(hidden)


async def test_a_ticket_in_the_trash_that_is_still_listed_leaves_no_copy(site: Site) -> None:
    body = {"id": "1", "subject": "s", "description": "d", "status": {"name": "Open"}, "is_trashed": False}

    def answer(request: httpx2.Request) -> httpx2.Response:
        empty: dict[str, object] = {"response_status": {"status_code": 2000, "status": "success"}}
        if request.url.path.endswith("/requests"):
            return httpx2.Response(200, json=empty | {"requests": [body]})
        return httpx2.Response(200, json=empty | ({"request": body} if "requests" in request.url.path else {}))

    async with opened(settings("http://desk"), transport=httpx2.MockTransport(answer)) as site.client:
        assert await site.sync() == Synced(1, 0, 0)
        body["is_trashed"] = True
        assert await site.sync() == Synced(0, 0, 1)
    assert site.copies() == set()


async def test_a_ticket_deleted_between_the_list_and_the_reading_leaves_no_copy(site: Site) -> None:
    ticket_id = site.new_ticket()
    await site.sync()
    site.change(ticket_id, status="Onhold")
    site.desk.order(kind="status", code=404, operation="read_ticket", ticket_id=ticket_id)
    assert await site.sync() == Synced(0, 0, 1)
    assert not site.copies()


async def test_a_copy_of_what_was_forgotten_goes_with_the_next_sync(site: Site) -> None:
    """Its status matches the desk's list, so it would not be read again."""
    forgotten, other = site.new_tickets(2)
    await site.sync()
    async with site.database.tenant("acme") as session:
        await tombstones.lock(session, shared=False)
        await tombstones.leave(session, "acme", [tombstones.of_ticket(forgotten)])
    assert await site.sync() == Synced(0, 0, 1)
    assert site.copies() == {other}
