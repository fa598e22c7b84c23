"""The step that requests GPT-4's answer and commits it after grounding."""

import json
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from langgraph.runtime import Runtime
from opentelemetry.trace import SpanKind
from opentelemetry.util.types import AttributeValue

from integrations.errors import ExternalError, ModelRefusedError
from integrations.values import ModelAnswer, Prompt, Unanswered, Usage
from jobs import claims
from observability import log_events, metrics, tracing
from observability.logging import log_event
from privacy.audit import ModelExchange
from workflow.answer import Content, Enhancement
from workflow.audit import defer_records, exchanges_of, source_entries, write_deferred_records, write_records
from workflow.lease import retry_until_available
from workflow.ports import Model
from workflow.question import ModelQuestion, question_of
from workflow.state import Attempt, GraphState
from workflow.stored_answers import StoredKind, UnusableAnswer


async def call_gpt4(state: GraphState, runtime: Runtime[Attempt]) -> GraphState:
    """Request GPT-4's answer and commit it, or commit an earlier attempt's."""
    attempt, claim = runtime.context, runtime.context.claim
    stored = await attempt.answers.get(StoredKind.ANSWER, claim.job_id) if claim.started_before else None
    if stored is not None:
        content, model = Content.model_validate(stored[0]), stored[1]
        await commit(attempt, content, model, [], None)
        await write_deferred_records(attempt)
        log_event(log_events.GPT4_ANSWER_KEPT)
        return {"content": content, "model": model}
    # Paused, so that a paid call is not cancelled before its answer is stored. Each call has a limit of its own; with a
    # fallback, the limits add up.
    with attempt.limit.paused():
        return await _enhance(attempt, state)


async def _enhance(attempt: Attempt, state: GraphState) -> GraphState:
    answers, job_id = attempt.answers, attempt.claim.job_id
    unusable: UnusableAnswer | None = None
    if attempt.claim.started_before:
        unusable = await answers.get(StoredKind.UNUSABLE, job_id)
    requested_at = time.monotonic()
    question = question_of(attempt, state, unusable.placeholders if unusable else None)
    unanswered: list[Unanswered] = []
    request = _request_attributes(attempt.model, question.version)
    if attempt.capture_messages:
        request |= _messages(question.prompt)
    try:
        with (
            tracing.span(tracing.GPT4, kind=SpanKind.CLIENT, attributes=request) as span,
            metrics.step("gpt4"),
            metrics.external_call("gpt4", attempt.claim.tenant_id, ExternalError, model=attempt.model.name),
        ):
            answer, repaired = await _request_answer(attempt, question, unusable, unanswered.append)
            span.set_attributes(_response_attributes(answer))
            if attempt.capture_messages:
                span.set_attributes(_reply(answer))
    except BaseException as stopped:
        keep = write_records if isinstance(stopped, Exception) else defer_records
        await keep(attempt, exchanges_of(attempt, question, unanswered, unusable))
        raise
    content = question.content(answer.content, nothing_found=state.get("nothing_found", False))
    exchanges = exchanges_of(attempt, question, [*unanswered, answer], unusable)
    await commit(attempt, content, answer.model, exchanges, requested_at)
    if repaired:
        # Dropped only after the commit: an attempt that stops while Redis is slow must not lose a paid answer.
        await answers.drop(job_id, StoredKind.UNUSABLE)
    log_event(
        log_events.GPT4_ANSWERED,
        status=answer.status,
        also={
            "model": answer.model,
            "input_tokens": answer.usage.input_tokens,
            "output_tokens": answer.usage.output_tokens,
            "took_ms": answer.milliseconds,
            "prompt": question.version,
            "confidence": content.confidence,
            "sources_left_out": content.left_out,
        },
    )
    return {"content": content, "model": answer.model}


async def _request_answer(
    attempt: Attempt,
    question: ModelQuestion,
    unusable: UnusableAnswer | None,
    on_unanswered: Callable[[Unanswered], None],
) -> tuple[ModelAnswer[Enhancement], bool]:
    """Return the answer, and True if it is the repair of an unusable one.

    A repair is a separate call that corrects only the answer's format. The unusable text is stored before it, with its
    placeholders: if the repair fails temporarily, the next attempt repeats only the repair. A second unusable text
    fails the job; a manual retry requests a new answer. `on_unanswered`: see `Model.complete`.
    """
    answers, job_id = attempt.answers, attempt.claim.job_id
    repaired = unusable is not None

    async def store_unusable(text: str) -> None:
        nonlocal repaired
        repaired = True
        sources = source_entries(question) if attempt.tenant_settings().audit_days else []
        await answers.put(StoredKind.UNUSABLE, job_id, UnusableAnswer(text, question.placeholders, sources))

    text = unusable.text if unusable else None
    try:
        answer = await attempt.model.complete(
            question.prompt,
            Enhancement,
            partial(count_paid, attempt),
            unusable=text,
            on_unusable=store_unusable,
            on_unanswered=on_unanswered,
        )
    except ModelRefusedError:
        await answers.drop(job_id, StoredKind.UNUSABLE)
        raise
    return answer, repaired


def count_paid(attempt: Attempt, usage: Usage) -> None:
    # Labelled with the requested model: the name in an answer is external and may be anything.
    tokens = usage.input_tokens, usage.output_tokens
    metrics.tokens_paid(attempt.claim.tenant_id, usage.model or attempt.model.name, tokens, usage.cost)


async def commit(
    attempt: Attempt, content: Content, model: str, exchanges: Sequence[ModelExchange], requested_at: float | None
) -> None:
    """Write the answer into the row, then the audit records of all endpoints.

    If the row can't be written, answer and records are stored for the next attempt. `requested_at` is from
    `time.monotonic()`.
    """
    stored, job_id = content.model_dump(mode="json"), attempt.claim.job_id
    took = None if requested_at is None else time.monotonic() - requested_at
    try:
        await retry_until_available(claims.save_answer, attempt.database, attempt.claim, stored, model, took)
    except BaseException:
        await attempt.answers.put(StoredKind.ANSWER, job_id, (stored, model))
        await defer_records(attempt, exchanges)
        raise
    await write_records(attempt, exchanges)


# OpenTelemetry's GenAI conventions are in development, so their names are only here. Prompt and answer, which are
# ticket text, are included only if the operator has opted in.
def _request_attributes(model: Model, prompt_version: str) -> dict[str, AttributeValue]:
    address = urlsplit(model.base_url)
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": model.provider,
        "gen_ai.request.model": model.name,
        "gen_ai.output.type": "json",
        "server.address": address.hostname or "",
        "server.port": address.port or (443 if address.scheme == "https" else 80),
        "prompt.version": prompt_version,
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
    return attributes


def _messages(prompt: Prompt) -> dict[str, AttributeValue]:
    return {
        "gen_ai.system_instructions": json.dumps([_text(prompt.system)]),
        "gen_ai.input.messages": json.dumps([{"role": "user", "parts": [_text(prompt.user)]}]),
    }


def _reply(answer: ModelAnswer[Enhancement]) -> dict[str, AttributeValue]:
    parts = [_text(answer.content.model_dump_json())]
    message = {"role": "assistant", "parts": parts, "finish_reason": answer.finish_reason}
    return {"gen_ai.output.messages": json.dumps([message])}


def _text(content: str) -> dict[str, str]:
    return {"type": "text", "content": content}
