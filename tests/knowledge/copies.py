"""Copied tickets and answered jobs, as test data for erasure."""

from typing import Any
from uuid import UUID

from db.session import Database
from jobs import claims
from knowledge import repository
from tests.kit.postgres import NewEvent, Table, accept, claimed

WHO = "Jordan.Reyes@acme.example"
TEXT = {"subject": "VPN drops", "description": "at home", "resolution": "Port 443.", "status": "Closed"}


async def copy(database: Database, ticket_id: str, requester: str = WHO, tenant_id: str = "acme") -> bool:
    return await repository.save_ticket(database, tenant_id, {"ticket_id": ticket_id, **TEXT}, requester)


async def answered(
    database: Database, new_event: NewEvent, ticket_id: str, requester: str = WHO, similar: str = "", **event: Any
) -> UUID:
    accepted = new_event(ticket_id=ticket_id, **event)
    await accept(database, accepted)
    claim = await claimed(database, accepted.job_id)
    await claims.is_forgotten(database, claim, ticket_id, requester)
    answer = {"summary": "s", "similar_tickets": [{"ticket_id": similar, "relevance": "r"}] if similar else []}
    await claims.save_answer(database, claim, answer, "m")
    await claims.complete(database, claim, "1")
    return accepted.job_id


def copies(table: Table) -> list[tuple[str, str]]:
    rows = table.run("SELECT tenant_id, ticket_id FROM tickets ORDER BY 1, 2")
    return [(row["tenant_id"], row["ticket_id"]) for row in rows]
