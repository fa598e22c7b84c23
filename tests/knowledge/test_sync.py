"""Sync of a simulated desk into a real Postgres: odd items, deletions, and tickets that the rules forbid."""

import io
from typing import Any

import psycopg
import pytest

from cli.config import parse_names
from cli.pilot.postgres import Postgres
from config.tenants import TicketRules
from db.session import Database
from integrations.errors import DeskRefusedError, DeskUnavailableError
from knowledge import repository
from knowledge.search import PostgresSearch
from knowledge.sources import SyncResult
from privacy import tombstones
from tests.kit.clock import Clock
from tests.kit.desk import holds_by, opened, settings
from tests.kit.logs import StartLog
from tests.kit.postgres import Table
from tests.knowledge.site import Site, resolve, site_of


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
async def test_the_longest_text_is_copied_and_found(description: str, log: io.StringIO, site: Site) -> None:
    ticket_id = site.new_ticket(subject="Scanner jams", description=description)
    resolve(site, ticket_id, description)
    assert await site.sync() == SyncResult(1, 0, 0), log.getvalue()
    found = await PostgresSearch(site.database, 2, least=0).similar_tickets("acme", "0", "Scanner jams", "", {})
    assert [ticket.ticket_id for ticket in found] == [ticket_id]


async def test_half_a_character_in_any_field_is_left_out(site: Site) -> None:
    ticket_id = site.new_ticket(subject="My screen \ud83d", description="is\x00 dark \udc00")
    site.change(ticket_id, status="Wait\x00ing \ud83d", in_progress=True)
    assert (await site.sync()).tickets == 1
    (row,) = site.table.run("SELECT subject, description, status FROM tickets")
    assert row == {"subject": "My screen", "description": "is dark", "status": "Waiting "}
    assert (await site.sync()).tickets == 0


async def test_a_ticket_that_cannot_be_stored_is_a_line(log: io.StringIO, site: Site) -> None:
    first, odd, last = (site.new_ticket(subject="secret text") for _ in range(3))
    site.table.run(f"ALTER TABLE tickets ADD CONSTRAINT refused CHECK (ticket_id <> '{odd}')")
    try:
        assert (await site.sync()).tickets == 2
    finally:
        site.table.run("ALTER TABLE tickets DROP CONSTRAINT refused")
    assert site.copies() == {first, last}
    (line,) = [line for line in log.getvalue().splitlines() if "Sync error" in line]
    assert "Sync error: tenant_id=acme, reason=could not be stored" in line
    assert f"ticket_id: {odd}" in line
    assert "secret text" not in line


async def test_a_copy_with_a_locked_row_is_logged(server: Postgres, start_log: StartLog, site: Site) -> None:
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
async def test_four_refused_tickets_in_a_row_are_a_failure(fault: dict[str, Any], log: io.StringIO, site: Site) -> None:
    tickets = site.new_tickets(6)
    for ticket_id in tickets[2:5]:
        site.desk.order(**fault, operation="read_ticket", ticket_id=ticket_id)
    assert (await site.sync()).tickets == 3
    assert site.copies() == {*tickets[:2], tickets[5]}
    matching_lines = [f"ticket_id: {ticket_id}" in log.getvalue() for ticket_id in tickets]
    assert matching_lines == [False] * 2 + [True] * 3 + [False]
    site.desk.order(**fault | {"times": 4}, operation="read_ticket")
    for ticket_id in [*tickets[:2], tickets[5], site.new_ticket()]:
        site.change(ticket_id, status="Onhold")
    with pytest.raises(DeskRefusedError) if "code" in fault else pytest.raises(Exception, match="invalid answer"):
        await site.sync()


@pytest.mark.parametrize("code", [401, 403])
async def test_a_desk_that_refuses_its_solutions_is_copied_without_them(
    code: int, log: io.StringIO, site: Site
) -> None:
    tickets, reason = site.new_tickets(3), f"ServiceDesk Plus API: {code}"
    await repository.save_passages(site.database, "acme", "999999", "Old", ["a"])
    for operation in ("list_solutions", "read_solution"):
        site.desk.order(kind="status", code=code, operation=operation)
    async with opened(settings(site.desk.url), holds=holds_by(Clock())) as site.client:
        assert await site.sync() == SyncResult(3, 0, 0, with_solutions=False, stopped=reason)
        tickets.append(site.new_ticket())
        site.hours_pass(25)
        assert await site.sync() == SyncResult(1, 0, 0, with_solutions=False, stopped=reason)
    assert site.copies() == set(tickets)
    assert site.table.run("SELECT count(*) AS left FROM passages") == [{"left": 1}]
    assert site.desk.requests(operation="read_solution") == []
    refused = f"Solutions not copied: tenant_id=acme, reason=ServiceDesk Plus API: {code}"
    assert log.getvalue().count(refused) == 2
    assert "Hold error" not in log.getvalue()


async def test_refused_tickets_are_read_once_a_day_and_delay_no_others(site: Site) -> None:
    """As tickets of a group that our technician may not see."""
    hidden = site.new_tickets(4)
    for ticket_id in hidden:
        site.desk.order(kind="status", code=403, operation="read_ticket", ticket_id=ticket_id, times=99)
    with pytest.raises(DeskRefusedError):
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
    with pytest.raises(DeskRefusedError):
        await site.sync()
    assert site.asked_for() == set(hidden)


async def test_a_copy_of_a_forgotten_ticket_goes_with_the_next_sync(site: Site) -> None:
    """Its status matches the desk's list, so it would not be read again."""
    forgotten, other = site.new_tickets(2)
    await site.sync()
    async with site.database.tenant("acme") as session:
        await tombstones.lock(session, shared=False)
        await tombstones.leave(session, "acme", [tombstones.of_ticket(forgotten)])
    assert await site.sync() == SyncResult(0, 0, 1)
    assert site.copies() == {other}


def never(names: str) -> TicketRules:
    return TicketRules(only=parse_names("category:Network"), never=parse_names(names))


WITHOUT_FIELDS = {"list_fields": False, "list_criteria": False}


@pytest.mark.parametrize(
    ("names", "of_one", "options", "reads"),
    [
        # The list already shows them, so none is read to be left out.
        ("group:HR", {"group": "HR"}, {}, 0),
        ("template:Dismissal, event:deleted", {"template": "Dismissal"}, {}, 0),
        ("site:Clinic", {"site": "Clinic"}, {}, 0),
        ("category:Salaries", {"category": "Salaries"}, {}, 0),
        # It has no category of its own.
        ("category:Salaries", {"category": "Salaries"}, WITHOUT_FIELDS, 1),
    ],
)
async def test_a_forbidden_ticket_is_not_copied(
    names: str, of_one: dict[str, str], options: dict[str, Any], reads: int, site: Site
) -> None:
    site.set_desk(**options)
    site.rules = never(names)
    forbidden = site.new_ticket(subject="Screen is dark", **of_one)
    other = site.new_ticket(subject="Screen is dark")
    assert await site.sync() == SyncResult(1, 0, 0)
    assert site.copies() == {other}
    await site.sync()
    assert (site.reads().count(forbidden), site.reads().count(other)) == (reads, 1)
    # Moved out of the queue, it is copied like any other ticket.
    site.change(forbidden, **dict.fromkeys(of_one, "General"), status="In Progress")
    await site.sync()
    assert site.copies() == {forbidden, other}


async def test_copies_from_before_a_rule_go_with_the_next_sync(database: Database, table: Table) -> None:
    """The desk's lists name them, a hundred a call, so its answer does not matter."""
    async with site_of(database, table, history=120) as site:
        await site.sync()
        tickets = sorted(site.copies(), key=int)
        hidden = {tickets[0], tickets[60], tickets[-2]}
        for ticket_id in hidden:
            site.change(ticket_id, group="hr")
        await site.sync()
        site.rules = never("group:HR")
        search = PostgresSearch(database, 2, least=0)
        found = await search.similar_tickets("acme", "0", "The printer", "", site.rules.hidden_from({}))
        assert len({ticket.ticket_id for ticket in found} & (set(tickets) - hidden)) == len(found) == 3
        site.desk.forget()
        site.desk.order(kind="status", code=503, operation="list_tickets", times=9)
        with pytest.raises(DeskUnavailableError):
            await site.sync()
        assert site.copies() == set(tickets) - hidden
        assert site.asked_for() == set()


@pytest.mark.parametrize(("options", "read"), [({}, 1), (WITHOUT_FIELDS, 4)], ids=["told", "not told"])
async def test_a_moved_ticket_goes_at_once_or_within_a_day(options: dict[str, Any], read: int, site: Site) -> None:
    site.set_desk(**options)
    site.rules = never("category:Salaries")
    hidden, *others = site.new_tickets(4)
    await site.sync()
    site.desk.change("DELETE", "/requests")
    site.change(hidden, category="Salaries")
    if options:
        assert await site.sync() == SyncResult(0, 0, 0)
        assert site.asked_for() == set()
        site.hours_pass(21)
    assert (await site.sync()).removed == 1
    assert site.copies() == set(others)
    assert len(site.reads()) <= read


async def test_what_a_rule_left_out_is_copied_once_it_is_gone(site: Site) -> None:
    site.set_desk(**WITHOUT_FIELDS)
    site.rules = never("category:Salaries")
    left_out, other = site.new_ticket(category="Salaries"), site.new_ticket()
    await site.sync()
    assert site.copies() == {other}
    site.rules = TicketRules()
    await site.sync()
    assert site.copies() == {left_out, other}
