"""The step that adds the note to the ticket."""

import time
from datetime import UTC, datetime
from functools import partial

from langgraph.runtime import Runtime
from opentelemetry.trace import SpanKind

from integrations.errors import DeferredError, ExternalError, TicketGoneError
from integrations.resilience import DeskHoldReason
from jobs import claims
from jobs.repository import DRY_RUN
from observability import log_events, metrics, tracing
from observability.logging import log_event
from workflow.exclusions import NoNoteWantedError, refuse_ticket
from workflow.grounding import without_expired
from workflow.lease import ensure_recent_write, retry_until_available
from workflow.note import to_html
from workflow.state import Attempt, GraphState

# The fields of a ticket that a tenant's rules may exclude, and that may change.
_FIELDS = ("category", "group", "site", "template")


async def update_ticket(state: GraphState, runtime: Runtime[Attempt]) -> GraphState:
    """Add the note, unless the ticket is closed or excluded by now, or in a dry run."""
    attempt, claim = runtime.context, runtime.context.claim
    with tracing.span(tracing.SERVICEDESK_UPDATE, kind=SpanKind.CLIENT), metrics.step("update"):
        started = time.monotonic()
        attempt.check_notes(answered=True)
        if not claim.was_recently_open() or any(map(attempt.tenant_settings().rules.depends_on, _FIELDS)):
            await _read_again(attempt)
        if attempt.tenant_settings().dry_run:
            raise NoNoteWantedError(DRY_RUN)
        announce = partial(claims.about_to_post, attempt.database, claim, attempt.lease_seconds)
        about_to_post = partial(ensure_recent_write, announce, attempt.lease_seconds / 3)
        link = attempt.feedback_link_of(claim.tenant_id, claim.job_id) if attempt.feedback_link_of else ""
        # The desk may have held the job for hours since its answer was committed.
        content = without_expired(state["content"], datetime.now(UTC))
        of_job = content, claim.job_id, state["model"]
        note = to_html(*of_job, feedback_link=link, updated_because=attempt.refresh)
        try:
            note_id = await attempt.desk.add_note(claim.id_in_desk, note, about_to_post)
        except (ExternalError, DeferredError, TicketGoneError) as failure:
            if not getattr(failure, "outcome_unknown", False):
                # Nothing was stored, so the next attempt need not wait for it.
                await retry_until_available(claims.undo_posting, attempt.database, claim)
            if _is_held_for_rate(failure) and not claim.was_recently_open():
                # The desk is up and only limits its rate: the next attempt need not read the ticket.
                await retry_until_available(claims.seen_open, attempt.database, claim)
            raise
        took = round((time.monotonic() - started) * 1000)
        log_event(log_events.TICKET_UPDATED, ticket_id=claim.ticket_id, also={"took_ms": took})
    return {"note_id": note_id}


def _is_held_for_rate(failure: Exception) -> bool:
    return isinstance(failure, DeferredError) and failure.extends_deadline and failure.reason not in set(DeskHoldReason)


async def _read_again(attempt: Attempt) -> None:
    try:
        ticket = await attempt.desk.read_open_ticket(attempt.claim.id_in_desk)
    except (ExternalError, DeferredError, TicketGoneError) as failure:
        if attempt.tenant_settings().dry_run and not getattr(failure, "deleted", False):
            # The paid answer is still visible, and the next webhook need not pay for it again.
            raise NoNoteWantedError(DRY_RUN) from failure
        raise
    try:
        await refuse_ticket(attempt, ticket)
    except NoNoteWantedError:
        await retry_until_available(claims.erase_answer, attempt.database, attempt.claim)
        raise
