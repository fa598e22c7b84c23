"""The step that reads the ticket and finds similar tickets and documents."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

from langgraph.runtime import Runtime
from opentelemetry.trace import get_current_span

from db.session import DATABASE_FAILURES
from integrations.errors import DeferredError, ExternalError, TicketGoneError
from integrations.values import DeskTicket
from jobs import claims
from jobs.repository import ANOTHER_FIRST, ANOTHER_FIRST_WAIT, CONTEXT_FAILED, CONTEXT_LATE, NOTHING_FOUND
from knowledge.models import Document, SimilarTicket
from observability import log_events, metrics, tracing
from observability.identifiers import bind, other_ticket_ids
from observability.logging import log_event
from workflow.exclusions import (
    NoNoteWantedError,
    refuse_forgotten,
    refuse_held_out,
    refuse_second_dry_run,
    refuse_second_note,
    refuse_ticket,
)
from workflow.lease import retry_until_available
from workflow.model_requests import trace_sources
from workflow.note import is_own_note
from workflow.state import Attempt, GraphState
from workflow.stored_answers import StoredKind

_Find = Callable[[Attempt, DeskTicket], Awaitable[Sequence[Any]]]
_Results = dict[_Find, tuple[Any, ...]]
"""The results of the searches that ended in time."""


async def gather_context(state: GraphState, runtime: Runtime[Attempt]) -> GraphState:  # noqa: ARG001 -- LangGraph's signature
    """Read the ticket and search for context, without searches that are late."""
    attempt = runtime.context
    claim = attempt.claim
    answered = claim.started_before and await attempt.answers.get(StoredKind.ANSWER, claim.job_id) is not None
    # With a holdout, the model is checked for tickets that get a note: the others need none, and must not wait for it.
    has_holdout = attempt.tenant_settings().report.holdout > 0
    if not answered and not has_holdout:
        attempt.model.check()
    # This check is last, because it may admit this job as the probe.
    attempt.check_notes(answered=answered)
    with tracing.span(tracing.CONTEXT), metrics.step("context"):
        started = time.monotonic()
        ticket = await _read_ticket(attempt)
        await refuse_ticket(attempt, ticket)
        await refuse_forgotten(attempt, ticket)
        if not answered and has_holdout:
            await refuse_held_out(attempt)
            attempt.model.check()
        results: _Results = {}
        late = False
        try:
            async with asyncio.timeout(attempt.context_seconds):
                await asyncio.gather(
                    _search(find_tickets, attempt, ticket, results, "ticket history not searched"),
                    _search(find_documents, attempt, ticket, results, "documents not searched"),
                    _search(_read_conversation, attempt, ticket, results, "conversation not read"),
                )
        except TimeoutError as timeout:
            tracing.record_failure(get_current_span(), timeout, "context gathering timeout")
            log_event(log_events.CONTEXT_TIMEOUT, seconds=f"{attempt.context_seconds:g}")
            late = True
        if late or not results.keys() >= {find_tickets, find_documents}:
            with suppress(*DATABASE_FAILURES):
                reason = CONTEXT_LATE if late else CONTEXT_FAILED
                await claims.context_incomplete(attempt.database, attempt.claim, reason)
        tickets, documents = results.get(find_tickets, ()), results.get(find_documents, ())
        conversation = results.get(_read_conversation, ())
        nothing_found = (results.get(find_tickets), results.get(find_documents)) == ((), ())
        gathered: GraphState = {
            "ticket": ticket,
            "conversation": conversation,
            "similar_tickets": tickets,
            "documents": documents,
            "nothing_found": nothing_found,
        }
        # A stored answer needs no model, and without one there is no prompt to redact for.
        trace_sources(attempt, gathered, with_texts=not answered)
        log_event(
            log_events.CONTEXT_GATHERED,
            ticket_history="Yes" if tickets else "No",
            docs="Yes" if documents else "No",
            also={
                "tickets": len(tickets),
                "documents": len(documents),
                "said": len(conversation),
                "took_ms": round((time.monotonic() - started) * 1000),
            },
        )
    if nothing_found and not answered and not attempt.tenant_settings().note.if_nothing_found:
        raise NoNoteWantedError(NOTHING_FOUND)
    return gathered


async def _read_ticket(attempt: Attempt) -> DeskTicket:
    """Return the job's open ticket, and store its numbers in the claim and the row.

    A webhook may contain the desk's id or the display number. Both are written as soon as they are known: later
    attempts need no search, and jobs of the same ticket under its other number are recognized (docs/adr/0016). Raises
    the desk's errors, NoNoteWantedError, LeaseLostError, and DeferredError if a job of the ticket's other number
    precedes.
    """
    number = attempt.claim.ticket_id
    if attempt.claim.desk_id is None:
        desk_id = await attempt.desk.id_of(number)
        if desk_id != number:
            await _store_numbers(attempt, desk_id, number)
    has_desk_id = attempt.claim.desk_id is not None
    ticket = await attempt.desk.read_open_ticket(attempt.claim.id_in_desk, begun=has_desk_id)
    if not has_desk_id and ticket.shown != ticket.ticket_id:
        await _store_numbers(attempt, number, ticket.shown)
    return ticket


async def _store_numbers(attempt: Attempt, desk_id: str, display_id: str) -> None:
    claim = await retry_until_available(claims.store_numbers, attempt.database, attempt.claim, desk_id, display_id)
    attempt.claim = claim
    bind(**other_ticket_ids(claim.ticket_id, desk_id, display_id))
    await refuse_second_note(attempt)
    if claim.another_first:
        raise DeferredError(ANOTHER_FIRST, ANOTHER_FIRST_WAIT.total_seconds())
    await refuse_second_dry_run(attempt)


async def find_tickets(attempt: Attempt, ticket: DeskTicket) -> Sequence[SimilarTicket]:
    hidden = attempt.tenant_settings().rules.hidden_from(ticket.kinds)
    words, claim = (ticket.subject, ticket.description), attempt.claim
    return await attempt.search.similar_tickets(claim.tenant_id, claim.id_in_desk, *words, hidden, ticket.people)


async def find_documents(attempt: Attempt, ticket: DeskTicket) -> Sequence[Document]:
    words, topics = (ticket.subject, ticket.description), attempt.tenant_settings().rules.never_topics
    return await attempt.search.documents(attempt.claim.tenant_id, *words, topics, ticket.people)


async def _read_conversation(attempt: Attempt, ticket: DeskTicket) -> Sequence[str]:
    with suppress(DeferredError, TicketGoneError):
        return await attempt.desk.read_conversation(ticket, is_own_note)
    return ()


async def _search(find: _Find, attempt: Attempt, ticket: DeskTicket, results: _Results, failure_reason: str) -> None:
    try:
        results[find] = tuple(await find(attempt, ticket))
    except DATABASE_FAILURES as failure:
        log_event(log_events.DATABASE_UNREACHABLE, reason=failure_reason, failure=failure)
    except ExternalError as failure:
        log_event(failure.phrase, failure.values, also=failure.also)
