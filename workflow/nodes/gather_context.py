"""Read the ticket, and find similar tickets and documents."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial

from langgraph.runtime import Runtime
from opentelemetry.trace import get_current_span

from integrations.errors import HeldBack, OutsideFailure, TicketGone
from integrations.values import DeskTicket, Document, SimilarTicket
from observability import phrases, timing, tracing
from observability.logging import say
from storage import claims
from storage.claims import is_forgotten
from storage.jobs import CONTEXT_FAILED, CONTEXT_LATE
from storage.session import DATABASE_FAILURES
from workflow.attempt import Attempt, Forgotten, GraphState, NothingFound
from workflow.lease import insist
from workflow.left_out import refuse_ticket
from workflow.note import is_note
from workflow.numbers import read_ticket
from workflow.ports import Kept


@dataclass(slots=True)
class _Found:
    """Search results; None if a search did not finish."""

    conversation: Sequence[str] = ()
    similar_tickets: Sequence[SimilarTicket] | None = None
    documents: Sequence[Document] | None = None


async def gather_context(state: GraphState, runtime: Runtime[Attempt]) -> GraphState:  # noqa: ARG001 -- LangGraph's signature
    """Read the ticket and search for context, without searches that are late."""
    attempt = runtime.context
    answered = await _is_answered(attempt)
    if not answered:
        attempt.model.check()
    # Last: it may let this job through as the probe.
    attempt.check_notes(answered=answered)
    with tracing.span(tracing.CONTEXT), timing.step("context"):
        started = time.monotonic()
        ticket = await read_ticket(attempt)
        await refuse_ticket(attempt, ticket)
        await _refuse_forgotten(attempt, ticket)
        found = _Found()
        late = False
        try:
            async with asyncio.timeout(attempt.context_seconds):
                await asyncio.gather(
                    _find_tickets(attempt, ticket, found),
                    _find_documents(attempt, ticket, found),
                    _read_conversation(attempt, ticket, found),
                )
        except TimeoutError as timeout:
            tracing.record_failure(get_current_span(), timeout, "context gathering timeout")
            say(phrases.CONTEXT_TIMEOUT, seconds=f"{attempt.context_seconds:g}")
            late = True
        await _tell_if_incomplete(attempt, found, late=late)
        say(
            phrases.CONTEXT_GATHERED,
            ticket_history="Yes" if found.similar_tickets else "No",
            docs="Yes" if found.documents else "No",
            also={
                "tickets": len(found.similar_tickets or ()),
                "documents": len(found.documents or ()),
                "said": len(found.conversation),
                "took_ms": round((time.monotonic() - started) * 1000),
            },
        )
    nothing_found = (found.similar_tickets, found.documents) == ((), ())
    if nothing_found and not answered and not attempt.wishes().note.if_nothing_found:
        raise NothingFound
    return {
        "ticket": ticket,
        "conversation": found.conversation,
        "similar_tickets": found.similar_tickets or (),
        "documents": found.documents or (),
        "nothing_found": nothing_found,
    }


async def _is_answered(attempt: Attempt) -> bool:
    return attempt.claim.started_before and await attempt.answers.get(Kept.ANSWER, attempt.claim.job_id) is not None


async def _refuse_forgotten(attempt: Attempt, ticket: DeskTicket) -> None:
    if await insist(partial(is_forgotten, attempt.database, attempt.claim, ticket.ticket_id, ticket.requester)):
        raise Forgotten


async def _tell_if_incomplete(attempt: Attempt, found: _Found, *, late: bool) -> None:
    if late or found.similar_tickets is None or found.documents is None:
        with suppress(*DATABASE_FAILURES):
            reason = CONTEXT_LATE if late else CONTEXT_FAILED
            await claims.context_incomplete(attempt.database, attempt.claim, reason)


async def _find_tickets(attempt: Attempt, ticket: DeskTicket, found: _Found) -> None:
    claim, words = attempt.claim, (ticket.subject, ticket.description)
    with _done_without("ticket history not searched"):
        forbidden = attempt.wishes().rules.hidden_from(ticket.kinds)
        found.similar_tickets = tuple(
            await attempt.search.similar_tickets(claim.tenant_id, claim.id_in_desk, *words, forbidden, ticket.people)
        )


async def _find_documents(attempt: Attempt, ticket: DeskTicket, found: _Found) -> None:
    with _done_without("documents not searched"):
        words, topics = (ticket.subject, ticket.description), attempt.wishes().rules.never_topics
        found.documents = tuple(await attempt.search.documents(attempt.claim.tenant_id, *words, topics, ticket.people))


async def _read_conversation(attempt: Attempt, ticket: DeskTicket, found: _Found) -> None:
    with _done_without("conversation not read"), suppress(HeldBack, TicketGone):
        found.conversation = tuple(await attempt.desk.read_conversation(ticket, is_note))


@contextmanager
def _done_without(reason: str) -> Iterator[None]:
    try:
        yield
    except DATABASE_FAILURES as failure:
        say(phrases.DATABASE_UNREACHABLE, reason=reason, failure=failure)
    except OutsideFailure as failure:
        say(failure.phrase, failure.values, also=failure.also)
