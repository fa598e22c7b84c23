"""No copy is made of tickets that a tenant's rules never enhance, and those of before the rule go."""

import pytest

from config.ticket_rules import TicketRules, parse_names
from housekeeping.synced import Synced
from integrations.errors import DeskUnavailable
from storage.search import SearchInPostgres
from tests.housekeeping.site import Site


def never(names: str) -> TicketRules:
    return TicketRules(parse_names("category:Network"), parse_names(names))


@pytest.mark.parametrize(
    ("names", "of_one", "reads"),
    [
        # A list has group and template, so that none is read to be left out.
        ("group:HR", {"group": "HR"}, 0),
        ("template:Dismissal, event:deleted", {"template": "Dismissal"}, 0),
        # It has no category.
        ("category:Salaries", {"category": "Salaries"}, 1),
    ],
)
async def test_a_ticket_that_is_never_enhanced_is_not_copied_nor_read_each_time(
    names: str, of_one: dict[str, str], reads: int, site: Site
) -> None:
    site.rules = never(names)
    forbidden = site.new_ticket(subject="Screen is dark", **of_one)
    other = site.new_ticket(subject="Screen is dark")
    assert await site.sync() == Synced(1, 0, 0)
    assert site.copies() == {other}
    await site.sync()
    asked = [call["ticket_id"] for call in site.desk.requests(operation="read_ticket")]
    assert asked.count(forbidden) == reads
    assert asked.count(other) == 1
    # Moved out of the queue, it is a ticket like others.
    site.change(forbidden, **dict.fromkeys(of_one, "General"), status="In Progress")
    await site.sync()
    assert site.copies() == {forbidden, other}


async def test_copies_of_before_the_rule_are_found_no_more_and_go_with_the_next_sync(site: Site) -> None:
    """Whatever the desk answers to that: the pages of its list have told what they are, a hundred a call."""
    tickets = site.copied_and_old()
    hidden = {tickets[0], tickets[150], tickets[-1]}
    for ticket_id in hidden:
        # No status changes, and so nothing else would have it read.
        site.change(ticket_id, group="hr")
    await site.sync()
    assert (site.unseen(), site.asked_for()) == (set(), set())
    site.rules = never("group:HR")
    search = SearchInPostgres(site.database, 2, least=0)
    found = await search.similar_tickets("acme", "0", "Subject", "Description", site.rules.forbidden)
    assert len({ticket.ticket_id for ticket in found} & (set(tickets) - hidden)) == len(found) == 3
    site.desk.forget()
    site.desk.order(kind="status", code=503, operation="list_tickets", times=9)
    with pytest.raises(DeskUnavailable):
        await site.sync()
    assert site.copies() == set(tickets) - hidden
    assert site.asked_for() == set()


async def test_copies_are_asked_for_anew_where_the_list_does_not_tell(site: Site) -> None:
    """Once a day, and not at each sync."""
    hidden, *others = site.new_tickets(4)
    await site.sync()
    site.change(hidden, category="Salaries")
    site.desk.forget()
    site.rules = never("category:Salaries")
    assert await site.sync() == Synced(0, 0, 1)
    assert (site.copies(), site.asked_for()) == (set(others), {hidden, *others})
    site.desk.forget()
    await site.sync()
    assert site.asked_for() == set()
    site.table.run("UPDATE tickets SET seen_at = now() - interval '21 hours'")
    site.change(others[0], category="Salaries")
    assert await site.sync() == Synced(0, 0, 1)
    assert site.copies() == set(others[1:])


async def test_an_old_copy_is_asked_for_where_the_pages_do_not_tell_either(site: Site) -> None:
    hidden, *others = site.copied_and_old(count=103)
    # The newest were asked for already.
    site.table.run("UPDATE tickets SET synced_at = seen_at - interval '1 hour'")
    site.change(hidden, category="Salaries")
    site.rules = never("category:Salaries")
    assert await site.sync() == Synced(0, 0, 1)
    assert site.copies() == set(others)
    assert site.asked_for() == {hidden, *others[:2]}
