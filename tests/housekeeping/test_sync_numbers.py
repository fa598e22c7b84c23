"""Copies of a cloud desk's tickets, known by their display number too."""

from simulators.servicedesk import create_desk
from storage import erasure, history, tombstones
from storage.erasure import Which
from storage.session import Database
from tests.housekeeping.site import synced
from tests.kit.desk import opened, settings
from tests.kit.postgres import Table
from tests.kit.simulators import CLOUD, simulator_of


async def test_a_copy_has_the_number_of_people_and_is_forgotten_by_it(database: Database, table: Table) -> None:
    """An older copy gets the number from the list, without a read of its own."""
    rows = "SELECT ticket_id, display_id FROM tickets ORDER BY ticket_id"
    for simulator in simulator_of(create_desk({"desks": {"globex": CLOUD | {"seeded": False}}})):
        order = {"tenant": "globex", "subject": "S", "send_webhook": False}
        first, second = (str(simulator.change("POST", "/tickets", **order)["id"]) for _ in range(2))
        async with opened(settings(simulator.url, "cloud")) as desk:
            await synced(database, desk, tenant_id="globex")
            told = table.run(rows)
            assert [(row["ticket_id"], row["display_id"]) for row in told] == [(first, "1"), (second, "2")]
            table.run("UPDATE tickets SET display_id = null")
            simulator.forget()
            await synced(database, desk, tenant_id="globex")
            assert table.run(rows) == told
            assert simulator.requests(operation="read_ticket") == []
            await erasure.erase(database, Which("globex", ticket_id="1"))
            await synced(database, desk, tenant_id="globex")
        assert [row["ticket_id"] for row in table.run(rows)] == [second]
        assert await tombstones.forgotten_among(database, "globex", [first, second]) == {first}


async def test_a_copy_of_before_numbers_were_kept_is_known_as_forgotten_on_any_page(
    database: Database, table: Table
) -> None:
    for simulator in simulator_of(create_desk({"desks": {"globex": CLOUD | {"seeded": False}}})):
        order = {"tenant": "globex", "subject": "S", "send_webhook": False}
        ids = [str(simulator.change("POST", "/tickets", **order)["id"]) for _ in range(103)]
        async with opened(settings(simulator.url, "cloud")) as desk:
            await synced(database, desk, tenant_id="globex")
            for old in ids[:3]:
                copy = {"ticket_id": old, "subject": "S", "description": "D", "resolution": "", "status": "Open"}
                await history.save_ticket(database, "globex", copy, "sam@example.com")
            table.run("UPDATE tickets SET display_id = null")
            table.run("UPDATE passes SET complete_from = now() - interval '1 day', ended_at = now() - interval '1 day'")
            await erasure.erase(database, Which("globex", ticket_id="1"))
            await synced(database, desk, tenant_id="globex")
        assert table.run("SELECT ticket_id FROM tickets WHERE ticket_id = %s", ids[0]) == []
