"""The three steps of a job. Each prints its line, and raises what stops the job."""

import asyncio
import time
from dataclasses import dataclass, field
from functools import partial

from langgraph.runtime import Runtime
from opentelemetry.trace import SpanKind, get_current_span

from integrations.errors import HeldBack, ModelRefused, OutsideFailure, TicketGone
from integrations.model.client import ModelAnswer, Prompt
from integrations.model.stream import Completion
from integrations.servicedesk.values import DeskTicket
from observability import metrics, phrases, tracing
from observability.logging import say
from storage import claims, history
from storage.forgotten import is_forgotten
from storage.history import Document, SimilarTicket
from storage.session import DATABASE_FAILURES
from workflow import genai
from workflow.enhancement import Enhancement, to_html
from workflow.lease import insist, insist_shortly_before
from workflow.prompts import VERSION, enhancement_prompt
from workflow.state import Attempt, Forgotten, GraphState


@dataclass(slots=True)
class _Found:
    similar_tickets: list[SimilarTicket] = field(default_factory=list)
    documents: list[Document] = field(default_factory=list)


async def gather_context(state: GraphState, runtime: Runtime[Attempt]) -> GraphState:  # noqa: ARG001 -- LangGraph's signature
    """Read the ticket, and find what resembles it; what is not found within the time limit is done without."""
    attempt = runtime.context
    if not await _kept_in_redis(attempt):
        attempt.gpt4.check()
    with tracing.span(tracing.CONTEXT), metrics.step("context"):
        started = time.monotonic()
        ticket = await attempt.desk.read_open_ticket(attempt.claim.ticket_id, begun=False)
        await _refuse_forgotten(attempt, ticket)
        found = _Found()
        try:
            # Searches take at most half of the connections: the other half is for what a job has to write.
            async with asyncio.timeout(attempt.context_seconds), attempt.search_slots:
                await asyncio.gather(
                    _find_tickets(attempt, ticket.subject, ticket.description, found),
                    _find_documents(attempt, ticket.subject, ticket.description, found),
                )
        except TimeoutError as timeout:
            tracing.record_failure(get_current_span(), timeout, "context gathering timeout")
            say(phrases.CONTEXT_TIMEOUT, seconds=f"{attempt.context_seconds:g}")
        say(
            phrases.CONTEXT_GATHERED,
            ticket_history="Yes" if found.similar_tickets else "No",
            docs="Yes" if found.documents else "No",
            also={"took_ms": _milliseconds(started)},
        )
    return {"ticket": ticket, "similar_tickets": found.similar_tickets, "documents": found.documents}


async def _refuse_forgotten(attempt: Attempt, ticket: DeskTicket) -> None:
    """Raise Forgotten before anything is done with a text that was to be erased."""
    if await insist(partial(is_forgotten, attempt.database, attempt.claim, ticket.ticket_id, ticket.requester)):
        raise Forgotten


async def _find_tickets(attempt: Attempt, subject: str, description: str, found: _Found) -> None:
    claim = attempt.claim
    try:
        found.similar_tickets = await history.similar_tickets(
            attempt.database, claim.tenant_id, claim.ticket_id, subject, description
        )
    except DATABASE_FAILURES as failure:
        say(phrases.DATABASE_UNREACHABLE, reason="ticket history not searched", failure=failure)


async def _find_documents(attempt: Attempt, subject: str, description: str, found: _Found) -> None:
    try:
        found.documents = await history.documents(attempt.database, attempt.claim.tenant_id, subject, description)
    except DATABASE_FAILURES as failure:
        say(phrases.DATABASE_UNREACHABLE, reason="documents not searched", failure=failure)


async def call_gpt4(state: GraphState, runtime: Runtime[Attempt]) -> GraphState:
    """Ask GPT-4, and commit its answer; one that an earlier attempt could not commit is used."""
    attempt = runtime.context
    if (kept := await _answer_kept_in_redis(attempt)) is not None:
        say(phrases.GPT4_ANSWER_KEPT)
        return {"enhancement": kept}
    prompt = enhancement_prompt(state["ticket"], state["similar_tickets"], state["documents"])
    request = genai.request_attributes(attempt.gpt4, VERSION)
    if attempt.capture_messages:
        request |= genai.question(prompt)
    with (
        tracing.span(tracing.GPT4, kind=SpanKind.CLIENT, attributes=request) as span,
        metrics.step("gpt4"),
        metrics.external_call("gpt4", attempt.claim.tenant_id, OutsideFailure, model=attempt.gpt4.model),
    ):
        answer, repaired = await _ask(attempt, prompt)
        span.set_attributes(genai.response_attributes(answer))
        if attempt.capture_messages:
            span.set_attributes(genai.reply(answer))
    enhancement = answer.content.only_given(
        [ticket.ticket_id for ticket in state["similar_tickets"]], [document.title for document in state["documents"]]
    )
    await _commit(attempt, enhancement, answer.model)
    if repaired:
        # Not before: whoever is stopped while Redis takes its time must not lose what was paid for.
        await attempt.answers.drop_unusable(attempt.claim.job_id)
    say(
        phrases.GPT4_ANSWERED,
        status=answer.status,
        also={
            "model": answer.model,
            "input_tokens": answer.input_tokens,
            "output_tokens": answer.output_tokens,
            "took_ms": answer.milliseconds,
        },
    )
    return {"enhancement": enhancement}


async def _ask(attempt: Attempt, prompt: Prompt) -> tuple[ModelAnswer[Enhancement], bool]:
    """Ask; with an earlier attempt's unusable answer, for its repair alone. Whether it is repaired comes second.

    The repair is a second call, which may be held back or fail for now when the first one is paid. What was paid for is
    then kept for the next attempt, whatever that finds as context: the repair is about the form. A repair that is no
    good either fails the job, and a person's retry of it asks anew.
    """
    answers, job_id = attempt.answers, attempt.claim.job_id
    unusable = await answers.take_unusable(job_id) if attempt.claim.started_before else None
    repaired = unusable is not None

    async def keep(text: str) -> None:
        nonlocal repaired
        repaired = True
        await answers.put_unusable(job_id, text)

    try:
        count = partial(_count_tokens, attempt)
        answer = await attempt.gpt4.ask(prompt, Enhancement, count, unusable=unusable, on_unusable=keep)
    except ModelRefused:
        await answers.drop_unusable(job_id)
        raise
    return answer, repaired


def _count_tokens(attempt: Attempt, paid: Completion) -> None:
    # The model that was asked for: what an answer calls it is from outside, and may be anything.
    tokens = paid.input_tokens, paid.output_tokens
    metrics.tokens_paid(attempt.claim.tenant_id, attempt.gpt4.model, tokens, paid.cost)


async def _kept_in_redis(attempt: Attempt) -> bool:
    return attempt.claim.started_before and await attempt.answers.take(attempt.claim.job_id) is not None


async def _answer_kept_in_redis(attempt: Attempt) -> Enhancement | None:
    claim = attempt.claim
    kept = await attempt.answers.take(claim.job_id) if claim.started_before else None
    if kept is None:
        return None
    enhancement = Enhancement.model_validate(kept[0])
    await _commit(attempt, enhancement, kept[1])
    return enhancement


async def _commit(attempt: Attempt, enhancement: Enhancement, model: str) -> None:
    """Write the answer into the row; it is kept elsewhere when that was stopped before it could be done."""
    answer = enhancement.model_dump(mode="json")
    try:
        await insist(partial(claims.save_answer, attempt.database, attempt.claim, answer, model))
    except BaseException:
        await attempt.answers.put(attempt.claim.job_id, answer, model)
        raise


async def update_ticket(state: GraphState, runtime: Runtime[Attempt]) -> GraphState:
    """Put the note into the ticket; a ticket that was closed meanwhile gets none."""
    attempt, claim = runtime.context, runtime.context.claim
    with tracing.span(tracing.SERVICEDESK_UPDATE, kind=SpanKind.CLIENT), metrics.step("update"):
        started = time.monotonic()
        if not claim.saw_open_lately():
            await attempt.desk.read_open_ticket(claim.ticket_id)
        announce = partial(claims.about_to_post, attempt.database, claim, attempt.lease_seconds)
        about_to_post = partial(insist_shortly_before, announce, attempt.lease_seconds / 3)
        note = to_html(state["enhancement"], claim.job_id)
        try:
            note_id = await attempt.desk.add_note(claim.ticket_id, note, about_to_post)
        except (OutsideFailure, HeldBack, TicketGone) as failure:
            if not getattr(failure, "outcome_unknown", False):
                # Nothing was stored, so the next attempt need not wait for it.
                await insist(partial(claims.not_posted, attempt.database, claim))
            if isinstance(failure, HeldBack) and failure.extends_deadline and not claim.saw_open_lately():
                # Nor look once more: the desk is well, and only has had its calls for now.
                await insist(partial(claims.seen_open, attempt.database, claim))
            raise
        say(phrases.TICKET_UPDATED, ticket_id=claim.ticket_id, also={"took_ms": _milliseconds(started)})
    return {"note_id": note_id}


def _milliseconds(started: float) -> int:
    return round((time.monotonic() - started) * 1000)
