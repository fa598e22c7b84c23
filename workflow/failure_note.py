"""The note of a tenant that wants one even when GPT-4 fails for good: what was found, and that there is no more.

It carries a text of its own instead of the marker of an enhancement: a job that is retried by hand later still gets
its note, and whoever reads the ticket can tell the two apart (`docs/adr/0007`). A ticket gets one, as the rows say.
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
from storage.claims import Claim
from storage.forgotten import is_forgotten
from storage.session import DATABASE_FAILURES
from workflow.attempt import Attempt, Forgotten, NoNoteWanted
from workflow.defanging import without_links
from workflow.left_out import refuse_ticket

FAILURES_OF_GPT4 = (ModelRefused, ModelTimeout, ModelUnavailable)
"""The failures after which the note is left; not those of a desk, which would take no note either."""

_SECONDS = 20.0
_TITLE = "No enhancement"


async def leave_failure_note(claim: Claim, prepare: Callable[[], Attempt]) -> None:
    """Put it into the ticket, once, where the tenant asked for it; what goes wrong with it is a line and no more.

    The job has failed already, so only a retry by hand could lead to a second note. A ticket that may have its
    enhancement gets none, nor does one of a tenant in its dry run.
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
    """Return the ticket; the claim has both of its numbers then, though no attempt came so far as to ask for them."""
    named = attempt.claim.ticket_id
    desk_id = attempt.claim.desk_id or await attempt.desk.id_of(named)
    ticket = await attempt.desk.read_open_ticket(desk_id)
    shown = ticket.shown if desk_id == named else named
    if shown != desk_id:
        attempt.claim = replace(attempt.claim, desk_id=desk_id, display_id=shown)
    return ticket


async def _post(attempt: Attempt, note: str, numbers: set[str]) -> None:
    """Put the note into the ticket. Raises Forgotten if a ticket that it is about, or names, was forgotten by now."""

    async def about_to_post() -> None:
        if await tombstones.forgotten_among(attempt.database, attempt.claim.tenant_id, numbers):
            raise Forgotten

    try:
        await attempt.desk.add_note(attempt.claim.id_in_desk, note, about_to_post)
    except (HeldBack, Forgotten):
        # It was not even sent: nothing is in the ticket that a webhook could be the echo of.
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
    """Return the note, as HTML. Each text is escaped."""
    parts = [f"<b>{_TITLE}</b><p>GPT-4 could not be asked about this ticket. What was found for it:</p>"]
    items = [f"#{ticket.shown}: {without_links(ticket.subject)}" for ticket in tickets]
    items += list(dict.fromkeys(without_links(document.title) for document in documents))
    listed = "".join(f"<li>{html.escape(item, quote=True)}</li>" for item in items)
    parts.append(f"<ul>{listed}</ul>" if items else "<p>Nothing that resembles it.</p>")
    parts.append(f"<p>Context of {job_id}</p>")
    return "<div>" + "".join(parts) + "</div>"
