"""The step that requests GPT-4's answer, commits it, and checks its claims."""

import time
from collections.abc import Callable, Sequence
from functools import partial

from langgraph.runtime import Runtime

from integrations.errors import ModelRefusedError
from integrations.values import UNPAID, ModelAnswer, Unanswered
from jobs import claims
from observability import log_events, metrics, tracing
from observability.logging import log_event
from privacy.audit import ModelExchange
from workflow.answer import Content, Enhancement, printable
from workflow.claim_check import CheckedAnswer, check_claims, repeat_their_quotes
from workflow.lease import retry_until_available
from workflow.model_requests import (
    count_paid,
    defer_records,
    exchanges_of,
    model_span,
    source_entries,
    write_deferred_records,
    write_records,
)
from workflow.question import ModelQuestion, question_of
from workflow.state import Attempt, GraphState
from workflow.stored_answers import StoredKind, UnusableAnswer

_CONFIDENCES = ("low", "medium", "high")


async def call_gpt4(state: GraphState, runtime: Runtime[Attempt]) -> GraphState:
    """Request GPT-4's answer and commit it, or commit an earlier attempt's."""
    attempt, claim = runtime.context, runtime.context.claim
    stored = await attempt.answers.get(StoredKind.ANSWER, claim.job_id) if claim.started_before else None
    if stored is not None:
        content, model = Content.model_validate(stored[0]), stored[1]
        attempt.unrecorded = stored[2]
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
    try:
        with model_span(attempt, question, tracing.GPT4, "gpt4", attempt.model.name) as record_answer:
            answer, repaired = await _request_answer(attempt, question, unusable, unanswered.append)
            record_answer(answer)
    except BaseException as stopped:
        keep = write_records if isinstance(stopped, Exception) else defer_records
        await keep(attempt, exchanges_of(attempt, question, unanswered, unusable))
        raise
    took = time.monotonic() - requested_at
    exchanges = exchanges_of(attempt, question, [*unanswered, answer], unusable)
    claims_to_check = question.grounding.claims_to_check(answer.content)
    is_judged = not claims_to_check or repeat_their_quotes(claims_to_check.values())
    content = _content(question, state, answer.content, is_judged=is_judged)
    # Committed before the check: an attempt that stops during the check does not pay for the answer again.
    await commit(attempt, content, answer.model, exchanges, took)
    if repaired:
        # Dropped only after the commit: an attempt that stops while Redis is slow must not lose a paid answer.
        await answers.drop(job_id, StoredKind.UNUSABLE)
    checked: CheckedAnswer | None = None
    if attempt.check_claims and not is_judged:
        exchanges = []
        try:
            checked = await check_claims(attempt, question, answer.content, claims_to_check, exchanges)
        except BaseException:
            await defer_records(attempt, exchanges)
            raise
        if checked is None:
            await write_records(attempt, exchanges)
        else:
            content = _content(question, state, checked.answer, is_judged=True)
            content = content.model_copy(update={"removed": checked.removed})
            await commit(attempt, content, answer.model, exchanges, None)
    if content.is_unchecked and attempt.check_claims:
        metrics.UNCHECKED_ANSWERS.labels(attempt.claim.tenant_id).inc()
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
            **(checked.figures if checked else {}),
        },
    )
    return {"content": content, "model": answer.model}


def _content(question: ModelQuestion, state: GraphState, answer: Enhancement, *, is_judged: bool) -> Content:
    content = question.content(answer, nothing_found=state.get("nothing_found", False), is_judged=is_judged)
    changed: dict[str, object] = {"subject": printable(state["ticket"].subject)}
    if not is_judged:
        changed |= {
            "is_unchecked": True,
            "confidence": min(content.confidence or "low", "medium", key=_CONFIDENCES.index),
        }
    return content.model_copy(update=changed)


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


async def commit(
    attempt: Attempt, content: Content, model: str, exchanges: Sequence[ModelExchange], took: float | None
) -> None:
    """Write the answer into the row, then the audit records of all endpoints.

    If the row can't be written, answer and records are stored for the next attempt. `took` is in seconds.
    """
    stored = content.model_dump(mode="json")
    try:
        values = stored, model, attempt.unrecorded
        await retry_until_available(claims.save_answer, attempt.database, attempt.claim, *values, took)
    except BaseException:
        await _keep_for_next_attempt(attempt, content, model, exchanges)
        raise
    attempt.unrecorded = UNPAID
    await write_records(attempt, exchanges)


async def _keep_for_next_attempt(
    attempt: Attempt, content: Content, model: str, exchanges: Sequence[ModelExchange]
) -> None:
    stored = content.model_dump(mode="json"), model, attempt.unrecorded
    await attempt.answers.put(StoredKind.ANSWER, attempt.claim.job_id, stored)
    attempt.unrecorded = UNPAID
    await defer_records(attempt, exchanges)
