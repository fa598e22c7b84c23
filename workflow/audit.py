"""Keeping a record of an answer, for tenants that want one: it is in no job's way, whatever becomes of it."""

import asyncio

from integrations.values import Document, ModelAnswer
from observability import phrases
from observability.logging import say
from storage import audit
from storage.audit import ModelExchange
from workflow.attempt import Attempt
from workflow.case import FoundSource
from workflow.enhancement import Enhancement
from workflow.question import ModelQuestion

_SECONDS = 5.0


async def keep_record(attempt: Attempt, exchange: ModelExchange) -> None:
    """Store what was sent and what came, if the tenant keeps records. Tried once: a failure is a line, and no more."""
    if not attempt.wishes().audit_days:
        return
    claim = attempt.claim
    try:
        async with asyncio.timeout(_SECONDS):
            await audit.keep(attempt.database, claim.tenant_id, claim.job_id, exchange)
    except Exception as failure:  # noqa: BLE001 -- whatever it is, the answer is committed, and its note goes on
        say(phrases.AUDIT_NOT_KEPT, job_id=claim.job_id, failure=failure)


def exchange_of(question: ModelQuestion, answer: ModelAnswer[Enhancement]) -> ModelExchange:
    """Return what was sent and what came, as it left and as it came."""
    return ModelExchange(
        prompt=question.version,
        model=answer.model,
        host=answer.host,
        masking=question.masking,
        system=question.prompt.system,
        sent=question.prompt.user,
        answer=answer.content.model_dump(mode="json"),
        sources=[_told(source) for source in question.grounding.case.sources],
        input_tokens=answer.usage.input_tokens,
        output_tokens=answer.usage.output_tokens,
        cost=answer.usage.cost,
        seconds=answer.milliseconds / 1000,
    )


def _told(source: FoundSource) -> dict[str, str]:
    """Return what names a source, as the model got it."""
    if isinstance(source.found, Document):
        return {"id": source.id, "kind": "document", "title": source.title}
    return {"id": source.id, "kind": "ticket", "number": source.found.shown, "title": source.title}
