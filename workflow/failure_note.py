"""The optional note after a final failure of the model: the finds without advice.

It has no marker of an enhancement, so a later manual retry still adds its note, and readers can distinguish the two
(docs/adr/0007). A ticket gets one, tracked by the rows.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from urllib.parse import urlsplit

from opentelemetry.trace import SpanKind

from db.session import DATABASE_FAILURES
from integrations.errors import (
    DeferredError,
    ExternalError,
    ModelRefusedError,
    ModelTimeoutError,
    ModelUnavailableError,
    TicketGoneError,
)
from integrations.values import DeskTicket
from jobs import claims
from jobs.claims import Claim
from knowledge.language import languages_of_tenant
from knowledge.models import Document, SimilarTicket
from observability import log_events, tracing
from observability.logging import log_event
from privacy import tombstones
from privacy.tombstones import FORGOTTEN
from workflow.answer import Content
from workflow.exclusions import NoNoteWantedError, refuse_forgotten, refuse_held_out, refuse_ticket
from workflow.nodes.gather_context import find_documents, find_tickets
from workflow.note import to_html
from workflow.note_sources import link_in, note_source
from workflow.prompt import source_id
from workflow.question import requested_language
from workflow.state import Attempt

FAILURES_OF_GPT4 = (ModelRefusedError, ModelTimeoutError, ModelUnavailableError)
"""The failures after which the note is left; after those of a desk, the desk would refuse the note too."""

_SECONDS = 20.0


async def leave_failure_note(claim: Claim, prepare: Callable[[], Attempt]) -> None:
    """Add the failure note once, if the tenant wants it; failures are only logged.

    The job has already failed, so only a manual retry could lead to a second note. No note is added in a dry run, or if
    the ticket may have its enhancement.
    """
    started = time.monotonic()
    reason = ""
    failure: Exception | None = None
    try:
        attempt = prepare()
        wanted = attempt.desk.wants_failure_note and not attempt.tenant_settings().dry_run
        if not wanted or claim.note_attempted_at is not None:
            return
        async with asyncio.timeout(_SECONDS):
            with tracing.span(tracing.SERVICEDESK_UPDATE, kind=SpanKind.CLIENT):
                await _leave(attempt)
    except DATABASE_FAILURES as away:
        reason, failure = "database unreachable", away
    except (ExternalError, DeferredError, TicketGoneError, NoNoteWantedError, TimeoutError) as refused:
        reason = getattr(refused, "reason", "took too long")
    except Exception as unforeseen:  # noqa: BLE001 -- the job has its outcome, which this must not change
        reason, failure = "unexpected failure", unforeseen
    if reason:
        log_event(log_events.FAILURE_NOTE_REFUSED, ticket_id=claim.ticket_id, reason=reason, failure=failure)
    else:
        took = round((time.monotonic() - started) * 1000)
        log_event(log_events.FAILURE_NOTE_LEFT, ticket_id=claim.ticket_id, also={"took_ms": took})


async def _leave(attempt: Attempt) -> None:
    ticket = await _read(attempt)
    claim = attempt.claim
    await refuse_ticket(attempt, ticket)
    await refuse_forgotten(attempt, ticket)
    await refuse_held_out(attempt)
    found: list[SimilarTicket | Document] = []
    is_searched = False
    with suppress(ExternalError, *DATABASE_FAILURES):
        found = [*await find_tickets(attempt, ticket), *await find_documents(attempt, ticket)]
        is_searched = True
    if not await claims.may_leave_failure_note(attempt.database, claim):
        raise NoNoteWantedError("job was retried, or the ticket has one, or an enhancement")
    numbers = {claim.ticket_id, ticket.ticket_id, ticket.shown}
    numbers.update(
        number for each in found if isinstance(each, SimilarTicket) for number in (each.ticket_id, each.shown)
    )

    async def about_to_post() -> None:
        if await tombstones.forgotten_among(attempt.database, claim.tenant_id, numbers):
            raise NoNoteWantedError(FORGOTTEN)

    try:
        note = _note(attempt, ticket, found, nothing_found=is_searched and not found)
        await attempt.desk.add_note(claim.id_in_desk, note, about_to_post)
    except (DeferredError, NoNoteWantedError):
        # The note was not sent, so no webhook can be its echo.
        await claims.failure_note_not_left(attempt.database, claim)
        raise


async def _read(attempt: Attempt) -> DeskTicket:
    number = attempt.claim.ticket_id
    desk_id = attempt.claim.desk_id or await attempt.desk.id_of(number)
    ticket = await attempt.desk.read_open_ticket(desk_id)
    shown = ticket.shown if desk_id == number else number
    if shown != desk_id:
        attempt.claim = replace(attempt.claim, desk_id=desk_id, display_id=shown)
    return ticket


def _note(
    attempt: Attempt, ticket: DeskTicket, found: Sequence[SimilarTicket | Document], *, nothing_found: bool
) -> str:
    tenant = attempt.tenant_settings()
    among = languages_of_tenant(tenant)
    language = requested_language(tenant.note.language, ticket.subject, ticket.description, among) or "en"
    link_of = partial(link_in, attempt.desk)
    sources = {source_id(each): note_source(source_id(each), each, link_of) for each in found}
    content = Content(language=language, sources=[*sources.values()], nothing_found=nothing_found)
    model = f"{attempt.model.name} ({urlsplit(attempt.model.base_url).hostname})"
    return to_html(content, attempt.claim.job_id, model, failed=True)
