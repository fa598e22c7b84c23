"""The optional note after a final failure of GPT-4, with the finds alone.

It has a text of its own instead of the marker of an enhancement: a later manual retry still adds its note, and readers
can distinguish the two (`docs/adr/0007`). A ticket gets one, tracked by the rows.
"""

import asyncio
import html
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from opentelemetry.trace import SpanKind

from integrations.errors import HeldBack, ModelRefused, ModelTimeout, ModelUnavailable, OutsideFailure, TicketGone
from integrations.values import DeskTicket, Document, SimilarTicket
from observability import phrases, tracing
from observability.logging import say
from storage import claims, tombstones
from storage.claims import Claim, is_forgotten
from storage.session import DATABASE_FAILURES
from workflow.attempt import Attempt, Forgotten, NoNoteWanted
from workflow.defanging import without_links
from workflow.left_out import refuse_ticket

FAILURES_OF_GPT4 = (ModelRefused, ModelTimeout, ModelUnavailable)
"""The failures after which the note is left; not those of a desk, which would take no note either."""

_SECONDS = 20.0
_TITLE = "No enhancement"


async def leave_failure_note(claim: Claim, prepare: Callable[[], Attempt]) -> None:
    """Add the failure note once, if the tenant wants it; failures are only logged.

    The job has failed already, so only a manual retry could lead to a second note. A ticket that may have its
    enhancement gets none, nor does one of a tenant in a dry run.
    """
    try:
        attempt = prepare()
        wanted = attempt.desk.wants_failure_note and not attempt.wishes().dry_run
        if wanted and claim.note_attempted_at is None:
            await _leave(attempt)
    except Exception as failure:  # noqa: BLE001 -- the job has its outcome, which this must not change
        say(phrases.FAILURE_NOTE_REFUSED, ticket_id=claim.ticket_id, reason="unexpected failure", failure=failure)


async def _leave(attempt: Attempt) -> None:
    claim = attempt.claim
    started = time.monotonic()
    try:
        async with asyncio.timeout(_SECONDS):
            with tracing.span(tracing.SERVICEDESK_UPDATE, kind=SpanKind.CLIENT):
                ticket = await _read(attempt)
                claim = attempt.claim
                await refuse_ticket(attempt, ticket)
                if await is_forgotten(attempt.database, claim, ticket.ticket_id, ticket.requester):
                    raise Forgotten
                tickets, documents = await _found(attempt, ticket)
                if not await claims.may_leave_failure_note(attempt.database, claim):
                    reason = "job was retried, or the ticket has one, or an enhancement"
                    say(phrases.FAILURE_NOTE_REFUSED, ticket_id=claim.ticket_id, reason=reason)
                    return
                numbers = {claim.ticket_id, ticket.ticket_id, ticket.shown}
                numbers.update(number for each in tickets for number in (each.ticket_id, each.shown))
                await _post(attempt, failure_note(tickets, documents, claim.job_id), numbers)
    except DATABASE_FAILURES as failure:
        say(phrases.FAILURE_NOTE_REFUSED, ticket_id=claim.ticket_id, reason="database unreachable", failure=failure)
    except (OutsideFailure, HeldBack, TicketGone, NoNoteWanted, TimeoutError) as refused:
        reason = getattr(refused, "reason", "took too long")
        say(phrases.FAILURE_NOTE_REFUSED, ticket_id=claim.ticket_id, reason=reason)
    else:
        took = round((time.monotonic() - started) * 1000)
        say(phrases.FAILURE_NOTE_LEFT, ticket_id=claim.ticket_id, also={"took_ms": took})


async def _read(attempt: Attempt) -> DeskTicket:
    named = attempt.claim.ticket_id
    desk_id = attempt.claim.desk_id or await attempt.desk.id_of(named)
    ticket = await attempt.desk.read_open_ticket(desk_id)
    shown = ticket.shown if desk_id == named else named
    if shown != desk_id:
        attempt.claim = replace(attempt.claim, desk_id=desk_id, display_id=shown)
    return ticket


async def _post(attempt: Attempt, note: str, numbers: set[str]) -> None:
    """Add the note. Raises Forgotten if its ticket, or one that it names, was erased."""

    async def about_to_post() -> None:
        if await tombstones.forgotten_among(attempt.database, attempt.claim.tenant_id, numbers):
            raise Forgotten

    try:
        await attempt.desk.add_note(attempt.claim.id_in_desk, note, about_to_post)
    except (HeldBack, Forgotten):
        # The note was not sent, so no webhook can be its echo.
        await claims.failure_note_not_left(attempt.database, attempt.claim)
        raise


async def _found(attempt: Attempt, ticket: DeskTicket) -> tuple[Sequence[SimilarTicket], Sequence[Document]]:
    tenant_id, search, words = attempt.claim.tenant_id, attempt.search, (ticket.subject, ticket.description)
    rules = attempt.wishes().rules
    try:
        hidden, named = rules.hidden_from(ticket.kinds), ticket.people
        return (
            await search.similar_tickets(tenant_id, attempt.claim.id_in_desk, *words, hidden, named),
            await search.documents(tenant_id, *words, rules.never_topics, named),
        )
    except (OutsideFailure, *DATABASE_FAILURES):
        return [], []


def failure_note(tickets: Sequence[SimilarTicket], documents: Sequence[Document], job_id: object) -> str:
    """Return the note as HTML, with each text escaped."""
    parts = [f"<b>{_TITLE}</b><p>GPT-4 could not be asked about this ticket. What was found for it:</p>"]
    items = [f"#{ticket.shown}: {without_links(ticket.subject)}" for ticket in tickets]
    items += list(dict.fromkeys(without_links(document.title) for document in documents))
    listed = "".join(f"<li>{html.escape(item, quote=True)}</li>" for item in items)
    parts.append(f"<ul>{listed}</ul>" if items else "<p>Nothing that resembles it.</p>")
    parts.append(f"<p>Context of {job_id}</p>")
    return "<div>" + "".join(parts) + "</div>"
