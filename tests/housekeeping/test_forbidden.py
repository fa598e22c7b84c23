"""No copies of tickets that a tenant's rules exclude; older copies are deleted."""

from typing import Any

import pytest

from config.tenant_settings import TicketRules, parse_names
from housekeeping.synced import Synced
from integrations.errors import DeskUnavailable
from storage.search import SearchInPostgres
from storage.session import Database
from tests.housekeeping.site import Site, site_of
from tests.kit.postgres import Table


def never(names: str) -> TicketRules:
    return TicketRules(parse_names("category:Network"), parse_names(names))


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
async def test_a_ticket_that_is_never_enhanced_is_not_copied_nor_read_each_time(
    names: str, of_one: dict[str, str], options: dict[str, Any], reads: int, site: Site
) -> None:
    site.set_desk(**options)
    site.rules = never(names)
    forbidden = site.new_ticket(subject="Screen is dark", **of_one)
    other = site.new_ticket(subject="Screen is dark")
    assert await site.sync() == Synced(1, 0, 0)
    assert site.copies() == {other}
    await site.sync()
    assert (site.reads().count(forbidden), site.reads().count(other)) == (reads, 1)
    # Moved out of the queue, it is copied like any other ticket.
    site.change(forbidden, **dict.fromkeys(of_one, "General"), status="In Progress")
    await site.sync()
    assert site.copies() == {forbidden, other}


async def test_copies_of_before_the_rule_are_found_no_more_and_go_with_the_next_sync(
    database: Database, table: Table
) -> None:
    """The desk's lists name them, a hundred a call, so its answer does not matter."""
    async with site_of(database, table, history=120) as site:
        await site.sync()
        tickets = sorted(site.copies(), key=int)
        hidden = {tickets[0], tickets[60], tickets[-2]}
        for ticket_id in hidden:
            site.change(ticket_id, group="hr")
        await site.sync()
        site.rules = never("group:HR")
        search = SearchInPostgres(database, 2, least=0)
        found = await search.similar_tickets("acme", "0", "The printer", "", site.rules.hidden_from({}))
        assert len({ticket.ticket_id for ticket in found} & (set(tickets) - hidden)) == len(found) == 3
        site.desk.forget()
        site.desk.order(kind="status", code=503, operation="list_tickets", times=9)
        with pytest.raises(DeskUnavailable):
            await site.sync()
        assert site.copies() == set(tickets) - hidden
        assert site.asked_for() == set()


@pytest.mark.parametrize(("options", "read"), [({}, 1), (WITHOUT_FIELDS, 4)], ids=["told", "not told"])
async def test_a_ticket_that_was_moved_goes_at_once_or_within_a_day(
    options: dict[str, Any], read: int, site: Site
) -> None:
    """Where no list names it, all are read again, once a day and not in each sync."""
    site.set_desk(**options)
    site.rules = never("category:Salaries")
    hidden, *others = site.new_tickets(4)
    await site.sync()
    site.desk.change("DELETE", "/requests")
    site.change(hidden, category="Salaries")
    if options:
        assert await site.sync() == Synced(0, 0, 0)
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
