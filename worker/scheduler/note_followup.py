"""Follow-up of posted notes: uptake by the resolution, tickets reopened later, and notes removed from the ticket."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from config.tenants import Tenant
from db.session import Database
from integrations.errors import ExternalError, TicketClosedError, TicketGoneError, TicketNotFoundError
from integrations.servicedesk.client import ServiceDeskPlus
from integrations.values import DeskTicket
from jobs import feedback, reconcile, refresh
from jobs.intake import request_refresh
from jobs.reconcile import PostedNote
from jobs.repository import SEEN_REOPENED
from knowledge.language import languages_of_tenant
from knowledge.sources import is_item_failure
from knowledge.terms import taken_up
from observability import log_events, metrics
from observability.identifiers import bound
from observability.logging import log_event
from workflow.note import is_note_of

# Later, a ticket whose job was skipped is not new any more.
_SKIP_WINDOW = timedelta(days=1)
_SKIP_REASONS = (TicketNotFoundError("").reason, TicketClosedError().reason)
MOST_CHECKED_NOTES = 2
"""In a round; the newest ones."""
# By then a technician has seen it.
_SETTLED = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class NoteFollowUp:
    """Callback of a sync (`knowledge.sources.OnTicketRead`)."""

    database: Database
    job_deadline_seconds: int

    async def __call__(self, tenant: Tenant, ticket: DeskTicket, seconds_ago: float) -> None:
        """Measure the uptake of a ticket's note, and make a job if the ticket was reopened.

        `seconds_ago`: since when the desk may have shown this state, at most. Raises one of DATABASE_FAILURES.
        """
        if ticket.closed:
            if ticket.resolution:
                await self._measure_uptake(tenant, ticket)
            await refresh.note_closed(self.database, tenant.id, ticket.ticket_id, seconds_ago)
        else:
            await self._check_reopened(tenant, ticket, seconds_ago)

    async def _measure_uptake(self, tenant: Tenant, ticket: DeskTicket) -> None:
        note = await feedback.unmeasured_note(self.database, tenant.id, ticket.ticket_id)
        if note is None:
            return
        text = f"{ticket.subject}\n{ticket.description}"
        ratio = taken_up(note.steps, ticket.resolution, text, languages_of_tenant(tenant))
        if ratio is None:
            return
        version = await feedback.record_taken_up(self.database, tenant.id, note.job_id, ratio)
        if version is not None:
            metrics.taken_up(tenant.id, version.prompt, version.model, ratio)

    async def _check_reopened(self, tenant: Tenant, ticket: DeskTicket, seconds_ago: float) -> None:
        """Make a job for a reopened ticket with a note, if the tenant wants that.

        A ticket whose job was skipped as closed is reported once; its job is made, if the tenant wants that, by any
        later reading: the setting may have been changed since.
        """
        key = (self.database, tenant.id, ticket.ticket_id)
        if not tenant.note.if_reopened:
            await refresh.forget_closing(*key)
        elif await refresh.was_reopened(*key):
            await request_refresh(*key, SEEN_REOPENED, self.job_deadline_seconds)
        ago = timedelta(seconds=seconds_ago)
        skipped = await reconcile.seen_open_again(*key, reasons=_SKIP_REASONS, window=_SKIP_WINDOW, ago=ago)
        if skipped is None:
            return
        if skipped.is_new:
            metrics.RECONCILE_FOUND.labels(tenant.id, "reopened").inc()
            mode = "on" if tenant.recovers else "report"
            log_event(log_events.TICKET_REOPENED, job_id=skipped.job_id, ticket_id=ticket.ticket_id, reconcile=mode)
        if tenant.recovers:
            await request_refresh(*key, SEEN_REOPENED, self.job_deadline_seconds)


async def report_removed_notes(
    database: Database,
    desk: ServiceDeskPlus,
    tenant_id: str,
    wait_turn: Callable[[], Awaitable[None]],
    *,
    after: datetime,
    now: datetime,
) -> None:
    """Look once for the notes of some jobs that ended after `after`, and log missing ones.

    Raises the desk's failures, or one of DATABASE_FAILURES.
    """
    until = now - _SETTLED
    for job in await reconcile.noted(database, tenant_id, after=after, until=until, most=MOST_CHECKED_NOTES):
        with bound(ticket_id=job.ticket_id, job_id=str(job.job_id)):
            removed = await _is_removed(desk, job, wait_turn)
            # One by one: a reported note is not reported again if the desk fails at the next.
            await reconcile.looked_for_notes(database, tenant_id, job.finished_at, removed=removed)
            if removed:
                metrics.RECONCILE_FOUND.labels(tenant_id, "note removed").inc()
                log_event(log_events.NOTE_REMOVED, job_id=job.job_id, ticket_id=job.ticket_id)
    await reconcile.looked_for_notes(database, tenant_id, until)


async def _is_removed(desk: ServiceDeskPlus, job: PostedNote, wait_turn: Callable[[], Awaitable[None]]) -> bool:
    is_ours = partial(is_note_of, job.job_id)
    await wait_turn()
    try:
        if await desk.has_note(job.desk_id, job.note_id, is_ours):
            return False
        # One call in the normal case. The note may have another id, or its ticket is gone too.
        await wait_turn()
        await desk.read_ticket(job.desk_id)
        await wait_turn()
        return await desk.find_note(job.desk_id, is_ours, job.note_attempted_at) is None
    except TicketGoneError:
        return False
    except ExternalError as failure:
        if not is_item_failure(failure):
            raise
        return False
