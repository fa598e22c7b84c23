"""Copies of a closed ticket's conversation, if the tenant enables them."""

import pytest

from simulators.servicedesk import create_desk
from storage.search import SearchInPostgres
from storage.session import Database
from tests.housekeeping.site import Site, synced
from tests.kit.desk import new_ticket, notes_of, opened, settings
from tests.kit.postgres import Table
from tests.kit.simulators import CLOUD, simulator_of


def said(site: Site) -> list[str]:
    return [
        row["conversation"] for row in site.table.run("SELECT conversation FROM tickets ORDER BY ticket_id::bigint")
    ]


def send(site: Site, ticket_id: str, *texts: str) -> None:
    for text in texts:
        site.desk.change("POST", f"/tickets/acme/{ticket_id}/mails", text=text)


async def test_the_last_mails_of_a_closed_ticket_help_where_it_has_no_resolution(site: Site) -> None:
    closed, still_open = site.new_tickets(2)
    for ticket_id in (closed, still_open):
        mails = [f"<div>Try number {number}.</div>" for number in range(12)]
        send(site, ticket_id, *mails, "<p>Hello,</p><p>Unplug the dongle.</p><p>Kind regards</p>")
    site.change(closed, subject="The laptop beeps", status="Closed")
    assert (await site.sync()).tickets == 2
    assert said(site) == ["", ""]
    site.hours_pass(21)
    site.change(closed, status="Resolved")
    await site.sync(conversation=True)
    before = "\n\n".join(f"Try number {number}." for number in range(3, 12))
    assert said(site) == [f"{before}\n\nUnplug the dongle.", ""]
    assert len(site.desk.requests(operation="read_notification")) == 10
    (found,) = await SearchInPostgres(site.database, 2, least=0).similar_tickets("acme", "0", "Laptop beeps", "", {})
    assert found.resolution.endswith("Unplug the dongle.")


@pytest.mark.parametrize("fault", [{"kind": "status", "code": 403}, {"kind": "status", "code": 404}], ids=str)
async def test_a_desk_that_gives_none_has_its_tickets_copied_without(fault: dict[str, object], site: Site) -> None:
    ticket_id = site.new_ticket()
    send(site, ticket_id, "Unplug it.")
    site.change(ticket_id, status="Closed")
    site.desk.order(**fault, operation="list_conversations")
    assert (await site.sync(conversation=True)).tickets == 1
    assert said(site) == [""]


async def test_in_the_cloud_notes_are_listed_among_mails_and_are_none(database: Database, table: Table) -> None:
    for simulator in simulator_of(create_desk({"desks": {"globex": CLOUD | {"seeded": False}}})):
        ticket_id = new_ticket(simulator, "cloud")
        simulator.change("POST", f"/tickets/globex/{ticket_id}/mails", text="Unplug it.")
        async with opened(settings(simulator.url, "cloud")) as desk:
            await desk.add_note(ticket_id, "our own note")
            assert len(notes_of(simulator, ticket_id, "cloud")) == 1
            simulator.change("PATCH", f"/tickets/globex/{ticket_id}", status="Closed")
            await synced(database, desk, tenant_id="globex", conversation=True)
        assert table.run("SELECT conversation FROM tickets") == [{"conversation": "Unplug it."}]
