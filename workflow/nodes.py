"""The three steps of a job. Each prints its line when it is done, and raises what stops the job."""

import asyncio
import time
from dataclasses import dataclass, field

from langgraph.runtime import Runtime
from opentelemetry.trace import SpanKind, get_current_span

from integrations.gpt4 import Gpt4Answer
from observability import phrases, tracing
from observability.logging import say
from storage import history, jobs
from storage.history import Document, SimilarTicket
from storage.session import DATABASE_FAILURES
from workflow import genai
from workflow.enhancement import Enhancement, marker, to_html
from workflow.prompts import VERSION, enhancement_prompt
from workflow.state import Attempt, JobState


@dataclass(slots=True)
class _Found:
    similar_tickets: list[SimilarTicket] = field(default_factory=list)
    documents: list[Document] = field(default_factory=list)


async def gather_context(state: JobState, runtime: Runtime[Attempt]) -> JobState:  # noqa: ARG001 -- LangGraph's signature
    """Read the ticket, and find what resembles it; what is not found within the time limit is done without."""
    attempt = runtime.context
    with tracing.span(tracing.CONTEXT):
        started = time.monotonic()
        ticket = await attempt.desk.read_open_ticket(attempt.claim.ticket_id)
        found = _Found()
        try:
            async with asyncio.timeout(attempt.context_seconds):
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


async def call_gpt4(state: JobState, runtime: Runtime[Attempt]) -> JobState:
    """Ask GPT-4, and commit its answer; an answer that an earlier attempt committed is used again."""
    attempt = runtime.context
    kept = await jobs.load_answer(attempt.database, attempt.claim) if attempt.claim.answered else None
    if kept is not None:
        say(phrases.GPT4_ANSWER_KEPT)
        return {"enhancement": Enhancement.model_validate(kept)}
    prompt = enhancement_prompt(state["ticket"], state["similar_tickets"], state["documents"])
    request = genai.request_attributes(attempt.gpt4, VERSION)
    with tracing.span(tracing.GPT4, kind=SpanKind.CLIENT, attributes=request) as span:
        answer: Gpt4Answer[Enhancement] = await attempt.gpt4.ask(prompt, Enhancement)
        span.set_attributes(genai.response_attributes(answer))
    enhancement = answer.content.only_given(
        [ticket.ticket_id for ticket in state["similar_tickets"]], [document.title for document in state["documents"]]
    )
    await attempt.insist(
        lambda: jobs.save_answer(attempt.database, attempt.claim, enhancement.model_dump(mode="json"), answer.model)
    )
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


async def update_ticket(state: JobState, runtime: Runtime[Attempt]) -> JobState:
    """Put the note into the ticket, unless an earlier attempt did; a ticket closed meanwhile gets none."""
    attempt, claim = runtime.context, runtime.context.claim
    with tracing.span(tracing.SERVICEDESK_UPDATE, kind=SpanKind.CLIENT):
        started = time.monotonic()
        note_id = None
        if claim.note_attempted:
            note_id = await attempt.desk.find_note(claim.ticket_id, marker(claim.job_id))
        if note_id is None:
            await attempt.desk.read_open_ticket(claim.ticket_id)
            await attempt.insist(lambda: jobs.about_to_post(attempt.database, claim))
            note_id = await attempt.desk.add_note(claim.ticket_id, to_html(state["enhancement"], claim.job_id))
        say(phrases.TICKET_UPDATED, ticket_id=claim.ticket_id, also={"took_ms": _milliseconds(started)})
    return {"note_id": note_id}


def _milliseconds(started: float) -> int:
    return round((time.monotonic() - started) * 1000)
