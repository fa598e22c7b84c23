"""Jobs with audit records."""

from typing import Any
from uuid import UUID

from storage import audit
from tests.kit.postgres import Store
from tests.storage.copies import WHO, answered
from tests.storage.exchanges import exchange

OTHER = "someone.else@acme.example"


async def recorded(store: Store, ticket_id: str, *sources: str, requester: str = WHO, **changed: Any) -> UUID:
    job_id = await answered(store.database, store.new_event, ticket_id, requester)
    if numbers := {name: changed.pop(name) for name in ("desk_id", "display_id") if name in changed}:
        store.table.change(job_id, **numbers)
    await audit.keep(store.database, "acme", job_id, exchange(*sources, **changed))
    return job_id


def kept(store: Store) -> set[UUID]:
    return {row["job_id"] for row in store.table.run("SELECT job_id FROM audit_records")}


def age(store: Store, job_id: UUID, days: int) -> None:
    store.table.run("UPDATE audit_records SET at = now() - make_interval(days => %s) WHERE job_id = %s", days, job_id)
