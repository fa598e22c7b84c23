"""The GPT-4 node of a tenant with audit records, and these records."""

from functools import partial
from typing import Any
from uuid import UUID

from langgraph.runtime import Runtime
from redis.asyncio import Redis

from config.tenants import Tenant
from integrations.values import DeskTicket, Document, SimilarTicket
from privacy.redaction.people import Person
from tests.kit.model import opened
from tests.kit.postgres import Store, attempt_at, claimed
from tests.kit.simulators import Simulator
from workflow.kept_answers import AnswersInRedis
from workflow.nodes.call_gpt4 import call_gpt4
from workflow.state import Attempt, GraphState

ZOE = Person("Zoë Adeyemi", ("zoe.adeyemi@acme.example",))
TICKET = DeskTicket("12345", "Mailbox of Zoë Adeyemi is full", "Zoe can't write.", "", "", "", "", people=(ZOE,))
STATE: GraphState = {
    "ticket": TICKET,
    "similar_tickets": [SimilarTicket("101", "Full mailbox of Zoë Adeyemi", "Raised the quota.", people=(ZOE,))],
    "documents": [Document("Mail quotas", "Open the console.")],
}


async def attempt_of(store: Store, redis: Redis, job_id: UUID, gpt4: Any, **given: Any) -> Attempt:
    """Return the job's next attempt; by default its tenant keeps records for 30 days."""
    claim = await claimed(store.database, job_id)
    keeping = {"answers": AnswersInRedis(redis, 60), "wishes": partial(Tenant, "acme", audit_days=30)}
    return attempt_at(claim, given.pop("database", store.database), **{"model": gpt4} | keeping | given)


async def called(
    store: Store,
    model: Simulator | str,
    redis: Redis,
    job_id: UUID,
    state: GraphState = STATE,
    *,
    idle: float = 5,
    **wishes: Any,
) -> GraphState:
    """Run the node as the graph does, with these settings and a model or its address."""
    async with opened(model if isinstance(model, str) else model.url, idle=idle) as gpt4:
        attempt = await attempt_of(store, redis, job_id, gpt4, wishes=partial(Tenant, "acme", **wishes))
        return await call_gpt4(state, Runtime(context=attempt))


def records(store: Store) -> list[dict[str, Any]]:
    return store.table.run("SELECT * FROM audit_records ORDER BY at")


def wait_again(store: Store, job_id: UUID) -> None:
    store.table.change(job_id, state="waiting", claim_token=None, lease_owner=None, lease_until=None)
