"""A desk used by one test only, and the copies of its tickets."""

import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import httpx2
import pytest

from config.tenants import NoteSettings, Tenant, TicketRules
from db.session import Database
from dev.simulators.servicedesk import create_desk
from integrations.servicedesk.client import ServiceDeskPlus
from knowledge.desk_tasks import SyncThrottle
from knowledge.sources import SyncResult
from knowledge.sync import sync_tenant
from tests.kit.desk import new_ticket, opened, settings
from tests.kit.postgres import Table
from tests.kit.simulators import Simulator, simulator_of
from workflow.note_followup import NoteFollowUp

# Fast enough that no test waits for it.
FAST = 300_000


async def synced(
    database: Database,
    desk: ServiceDeskPlus,
    rules: TicketRules | None = None,
    *,
    tenant_id: str = "acme",
    seconds: float = 60,
    reopened: bool = True,
    recovers: bool = False,
    monotonic: Callable[[], float] = time.monotonic,
    **of_desk: Any,
) -> SyncResult:
    of_tenant = settings("http://desk", rate_per_minute=FAST, **of_desk)
    note = NoteSettings(if_reopened=reopened)
    tenant = Tenant(tenant_id, rules=rules or TicketRules(), note=note, recovers=recovers)
    more: dict[str, Any] = {"throttle": SyncThrottle(FAST), "follow_up": NoteFollowUp(database, 1800)}
    return await sync_tenant(database, desk, lambda: tenant, of_tenant, seconds=seconds, monotonic=monotonic, **more)


def ticking() -> Callable[[], float]:
    """Return a clock that advances a second each time that it is read."""
    return map(float, count()).__next__


def put_back(table: Table, hours: float) -> None:
    """Move all times of the desks' lists back by this much."""
    ago = f"- interval '{hours} hours'"
    moments = ("began_at", "complete_from", "complete_at", "ended_at")
    table.run(f"UPDATE passes SET {', '.join(f'{name} = {name} {ago}' for name in moments)}")  # noqa: S608
    moments = ("listed_at", "seen_at", "read_at", "to_read")
    table.run(f"UPDATE listings SET {', '.join(f'{name} = {name} {ago}' for name in moments)}")  # noqa: S608


@dataclass
class Site:
    """An initially empty simulated desk, its client, and the tables of copies."""

    desk: Simulator
    client: ServiceDeskPlus
    database: Database
    table: Table
    rules: TicketRules = field(default_factory=TicketRules)

    async def sync(self, seconds: float = 60, **more: Any) -> SyncResult:
        """Copy new and changed tickets, and continue with the history."""
        return await synced(self.database, self.client, self.rules, seconds=seconds, **more)

    def new_tickets(self, number: int) -> list[str]:
        return [self.new_ticket() for _ in range(number)]

    def new_ticket(self, **more: Any) -> str:
        return new_ticket(self.desk, **more)

    def change(self, ticket_id: str, **values: object) -> None:
        self.desk.change("PATCH", f"/tickets/acme/{ticket_id}", **values)

    def delete(self, ticket_id: str) -> None:
        httpx2.delete(f"{self.desk.url}/_sim/tickets/acme/{ticket_id}").raise_for_status()

    def copies(self, where: str = "true") -> set[str]:
        found = self.table.run(f"SELECT ticket_id FROM tickets WHERE {where}")  # noqa: S608 -- a test's own
        return {row["ticket_id"] for row in found}

    def hours_pass(self, hours: float) -> None:
        put_back(self.table, hours)

    def asked_for(self) -> set[str]:
        return set(self.reads())

    def set_desk(self, **options: object) -> None:
        self.desk.change("PATCH", "/desks/acme", **options)

    def reads(self) -> list[str]:
        return [call["ticket_id"] for call in self.desk.requests(operation="read_ticket")]


@asynccontextmanager
async def site_of(database: Database, table: Table, **options: object) -> AsyncIterator[Site]:
    usual = {"api_key": "acme-key", "seeded": False}
    for desk in simulator_of(create_desk({"desks": {"acme": usual | options}})):
        async with opened(settings(desk.url)) as client:
            yield Site(desk, client, database, table)


@pytest.fixture
async def site(database: Database, table: Table) -> AsyncIterator[Site]:
    async with site_of(database, table) as opened_site:
        yield opened_site


def resolve(site: Site, ticket_id: str, content: str) -> None:
    """Write a ticket's resolution (HTML) at the desk."""
    url = f"{site.desk.url}/acme/api/v3/requests/{ticket_id}/resolutions"
    form = {"input_data": json.dumps({"resolution": {"content": content}})}
    httpx2.post(url, data=form, headers={"authtoken": "acme-key"}).raise_for_status()
