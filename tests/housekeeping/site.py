"""A tenant's desk that no other test has made tickets in, and what is copied of it."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from config.ticket_rules import TicketRules
from housekeeping.forbidden import Forbidden
from housekeeping.sync import sync_tenant
from housekeeping.synced import Synced
from integrations.servicedesk.client import ServiceDeskPlus
from simulators.servicedesk import create_desk
from storage.session import Database
from tests.kit.desk import new_ticket, opened, settings
from tests.kit.postgres import Table
from tests.kit.simulators import Simulator, simulator_of

# A pace that nobody waits for; a full copy takes 12 s at it, and asking for old copies ends after 18.
FAST = 3000


@dataclass
class Site:
    """The simulated desk, which begins empty, its client, and the tables of copies."""

    desk: Simulator
    client: ServiceDeskPlus
    database: Database
    table: Table
    rules: TicketRules = field(default_factory=TicketRules)

    def __post_init__(self) -> None:
        self.forbidden = Forbidden(lambda: self.rules)

    async def sync(self, rate: int = FAST, **clock: Callable[[], float]) -> Synced:
        """Copy what is new or changed."""
        pace = settings("http://desk", rate_per_minute=rate)
        return await sync_tenant(self.database, self.client, "acme", pace, self.forbidden, **clock)

    def new_tickets(self, count: int) -> list[str]:
        """Make so many tickets; their ids."""
        return [self.new_ticket() for _ in range(count)]

    def new_ticket(self, **more: Any) -> str:
        """Make a ticket; its id."""
        return new_ticket(self.desk, **more)

    def change(self, ticket_id: str, **values: object) -> None:
        """Change a ticket in the desk."""
        self.desk.change("PATCH", f"/tickets/acme/{ticket_id}", **values)

    def delete(self, ticket_id: str) -> None:
        """Delete a ticket in the desk."""
        httpx.delete(f"{self.desk.url}/_sim/tickets/acme/{ticket_id}").raise_for_status()

    def asked_for(self) -> set[str]:
        """The single tickets that the desk was asked for since it last forgot."""
        return {call["ticket_id"] for call in self.desk.requests(operation="read_ticket")}

    def copies(self, where: str = "true") -> set[str]:
        """The tickets of which there is a copy."""
        found = self.table.run(f"SELECT ticket_id FROM tickets WHERE {where}")  # noqa: S608 -- a test's own
        return {row["ticket_id"] for row in found}

    def unseen(self) -> set[str]:
        """The copies that no sync of this minute has seen in the desk."""
        return self.copies("seen_at < now() - interval '1 minute'")

    def age(self, *, except_newest: int) -> None:
        """The copies were last seen the day before, those of the newest tickets just now; none is newly missing."""
        self.table.run(
            "UPDATE tickets SET synced_at = now() - interval '3 days', seen_at = now() - interval '1 day' WHERE"
            " ticket_id NOT IN (SELECT ticket_id FROM tickets ORDER BY ticket_id::bigint DESC LIMIT %s)",
            except_newest,
        )

    def copied_and_old(self, count: int = 320) -> list[str]:
        """Tickets, each with a copy that the desk has not shown for a day, but of the newest 100; oldest first."""
        tickets = self.new_tickets(count)
        # As `save_ticket` does, in one statement.
        self.table.run(
            "INSERT INTO tickets (tenant_id, ticket_id, subject, description, resolution, status, requester)"
            " SELECT 'acme', id, 'Subject', 'Description', 'Resolution', 'Open', '' FROM unnest(%s::text[]) id",
            tickets,
        )
        self.age(except_newest=100)
        self.desk.forget()
        return tickets


@pytest.fixture
async def site(database: Database, table: Table) -> AsyncIterator[Site]:
    """The desk, with no ticket and an empty knowledge base."""
    for desk in simulator_of(create_desk({"desks": {"acme": {"api_key": "acme-key", "seeded": False}}})):
        async with opened(settings(desk.url)) as client:
            yield Site(desk, client, database, table)
