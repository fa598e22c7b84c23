"""Model requests of a job: spans, metrics and cost, and their audit records.

OpenTelemetry's GenAI conventions are in development, so their names are only here. Prompt and answer, which are ticket
text, are included only if the operator has opted in. A failed audit record never affects a job.
"""

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from opentelemetry.trace import SpanKind, get_current_span
from opentelemetry.util.types import AttributeValue

from config.prices import cost
from integrations.errors import ExternalError
from integrations.values import ModelAnswer, Prompt, Unanswered, Usage
from knowledge.models import Document, SimilarTicket
from observability import log_events, metrics, tracing
from observability.logging import log_event
from privacy import audit
from privacy.audit import ModelExchange
from workflow.ports import Model
from workflow.prompt import source_id
from workflow.question import ModelQuestion, question_of
from workflow.state import Attempt, GraphState
from workflow.stored_answers import StoredKind, UnusableAnswer

_SECONDS = 5.0
# All work before a claim is returned has 3 s together (`workflow.runner`).
_STOPPING_SECONDS = 1.0


async def write_records(attempt: Attempt, exchanges: Sequence[ModelExchange]) -> None:
    """Store requests and answers, if the tenant keeps records.

    Tried once: a failure is only logged. A worker that stops meanwhile leaves them to the next attempt.
    """
    if not exchanges or not attempt.tenant_settings().audit_days:
        return
    unwritten = list(exchanges)
    writing = asyncio.ensure_future(_write(attempt, unwritten))
    try:
        await asyncio.shield(writing)
    except asyncio.CancelledError:
        # To avoid storing a record twice, wait for Postgres to finish or cancel.
        await asyncio.wait({writing}, timeout=_STOPPING_SECONDS)
        writing.cancel()
        await asyncio.wait({writing}, timeout=_STOPPING_SECONDS)
        if not writing.done() or writing.cancelled():
            await defer_records(attempt, unwritten)
        raise


async def _write(attempt: Attempt, unwritten: list[ModelExchange]) -> None:
    claim = attempt.claim
    try:
        async with asyncio.timeout(_SECONDS):
            while unwritten:
                await audit.keep(attempt.database, claim.tenant_id, claim.job_id, unwritten[0])
                del unwritten[0]
    except Exception as failure:  # noqa: BLE001 -- any failure: later steps do not wait for it
        log_event(log_events.AUDIT_NOT_KEPT, job_id=claim.job_id, failure=failure)


async def defer_records(attempt: Attempt, exchanges: Sequence[ModelExchange]) -> None:
    if exchanges and attempt.tenant_settings().audit_days:
        await attempt.answers.put(StoredKind.RECORD, attempt.claim.job_id, list(exchanges))


async def write_deferred_records(attempt: Attempt) -> None:
    job_id = attempt.claim.job_id
    records = await attempt.answers.get(StoredKind.RECORD, job_id) if attempt.claim.started_before else None
    if records:
        await write_records(attempt, records)
        await attempt.answers.drop(job_id, StoredKind.RECORD)


def exchanges_of(
    attempt: Attempt,
    question: ModelQuestion,
    results: Sequence[ModelAnswer[Any] | Unanswered],
    unusable: UnusableAnswer | None,
) -> list[ModelExchange]:
    """Return the exchange with each endpoint, or its failure; empty without records.

    `unusable`: the earlier answer that this one repairs. Its sources are this one's too, because an answer is made from
    them; the earlier request has a record of its own.
    """
    if not attempt.tenant_settings().audit_days:
        return []
    sources = [*(unusable.sources if unusable else ()), *source_entries(question)]
    distinct_sources = list({source["id"]: source for source in sources}.values())
    return [
        ModelExchange(
            prompt=question.version,
            model=result.model,
            host=result.host,
            masking=question.masking,
            system=question.prompt.system,
            sent=question.prompt.user,
            answer=result.content.model_dump(mode="json") if isinstance(result, ModelAnswer) else None,
            reason=result.reason if isinstance(result, Unanswered) else None,
            sources=distinct_sources,
            input_tokens=result.usage.input_tokens,
            output_tokens=result.usage.output_tokens,
            cost=result.usage.cost,
            seconds=result.milliseconds / 1000,
        )
        for result in results
    ]


def source_entries(question: ModelQuestion) -> list[dict[str, str]]:
    sources = []
    for source in question.grounding.case.sources:
        entry = {"id": source.id, "kind": "document", "title": source.title}
        if not isinstance(source.found, Document):
            entry |= {"kind": "ticket", "number": source.found.shown}
            if source.found.shown != source.found.ticket_id:
                entry["desk_id"] = source.found.ticket_id  # allows erasure by the desk's id too
        sources.append(entry)
    return sources


@contextmanager
def model_span(
    attempt: Attempt, question: ModelQuestion, name: str, step: str, model: str
) -> Iterator[Callable[[ModelAnswer[Any]], None]]:
    """Record a request to this model as a span and in the metrics; the result is called with the answer."""
    attributes = _request_attributes(attempt.model, model, question.version)
    provider = attempt.model.provider
    if attempt.capture_messages:
        attributes |= _messages(question.prompt)
    with (
        tracing.span(name, kind=SpanKind.CLIENT, attributes=attributes) as span,
        metrics.step(step),
        metrics.external_call("gpt4", attempt.claim.tenant_id, ExternalError, model=model, provider=provider),
    ):

        def record_answer(answer: ModelAnswer[Any]) -> None:
            usage = answer.usage
            tokens, first_seconds = (usage.input_tokens, usage.output_tokens), answer.first_milliseconds / 1000
            metrics.model_answered(provider, usage.model or model, tokens, first_seconds)
            span.set_attributes(_response_attributes(answer))
            if attempt.capture_messages:
                span.set_attributes(_reply(answer))

        yield record_answer


def count_paid(attempt: Attempt, usage: Usage) -> None:
    # Labelled with the requested model: the name in an answer is external and may be anything.
    tokens = usage.input_tokens, usage.output_tokens
    model = usage.model or attempt.model.name
    metrics.tokens_paid(attempt.claim.tenant_id, model, tokens, usage.cost)
    # Priced now: a job may pay several models.
    dollars = cost(attempt.prices, model, *tokens, usage.cost)
    attempt.unrecorded = replace(usage, model=model, cost=dollars).plus(attempt.unrecorded)


def _request_attributes(model: Model, name: str, prompt_version: str) -> dict[str, AttributeValue]:
    address = urlsplit(model.base_url)
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": model.provider,
        "gen_ai.request.model": name,
        "gen_ai.output.type": "json",
        "server.address": address.hostname or "",
        "server.port": address.port or (443 if address.scheme == "https" else 80),
        "gen_ai.prompt.version": prompt_version,
    }


def _response_attributes(answer: ModelAnswer[Any]) -> dict[str, AttributeValue]:
    attributes: dict[str, AttributeValue] = {
        "gen_ai.response.model": answer.model,
        "gen_ai.response.id": answer.response_id,
        "gen_ai.response.finish_reasons": [answer.finish_reason],
        "gen_ai.usage.input_tokens": answer.usage.input_tokens,
        "gen_ai.usage.output_tokens": answer.usage.output_tokens,
        "http.response.status_code": answer.status,
    }
    if answer.usage.cost is not None:
        attributes["gen_ai.usage.cost"] = answer.usage.cost
    if answer.first_milliseconds:
        attributes["gen_ai.request.stream"] = True
        attributes["gen_ai.response.time_to_first_chunk"] = answer.first_milliseconds / 1000
    return attributes


def trace_sources(attempt: Attempt, state: GraphState, *, with_texts: bool) -> None:
    """Add the found sources to the current span: ids and scores, and redacted texts if the operator has opted in."""
    documents: list[dict[str, Any]]
    if attempt.capture_messages and with_texts:
        documents = [
            {"id": source.id, "score": source.found.strength, "content": f"{source.title}\n{source.text}"}
            for source in question_of(attempt, state).grounding.case.sources
        ]
    else:
        found: list[SimilarTicket | Document] = [*state["similar_tickets"], *state["documents"]]
        documents = [{"id": source_id(each), "score": each.strength} for each in found]
    attributes = {"gen_ai.operation.name": "retrieval", "gen_ai.retrieval.documents": json.dumps(documents)}
    get_current_span().set_attributes(attributes)


def _messages(prompt: Prompt) -> dict[str, AttributeValue]:
    return {
        "gen_ai.system_instructions": json.dumps([_text(prompt.system)]),
        "gen_ai.input.messages": json.dumps([{"role": "user", "parts": [_text(prompt.user)]}]),
    }


def _reply(answer: ModelAnswer[Any]) -> dict[str, AttributeValue]:
    parts = [_text(answer.content.model_dump_json())]
    message = {"role": "assistant", "parts": parts, "finish_reason": answer.finish_reason}
    return {"gen_ai.output.messages": json.dumps([message])}


def _text(content: str) -> dict[str, str]:
    return {"type": "text", "content": content}
