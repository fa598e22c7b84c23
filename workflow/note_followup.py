"""Follow-up of posted notes: uptake, triage, resolution time, and reopened tickets."""

from dataclasses import dataclass
from datetime import timedelta

from config.tenants import Tenant, fold
from db.session import Database
from integrations.errors import TicketClosedError, TicketNotFoundError
from integrations.values import DeskTicket
from jobs import feedback, missed_webhooks, refresh
from jobs.feedback import LastNote
from jobs.intake import request_refresh
from jobs.repository import SEEN_REOPENED
from knowledge.language import languages_of_tenant
from knowledge.terms import taken_up
from observability import log_events, metrics
from observability.logging import log_event
from workflow.note import without_own_notes

# After this time, a ticket with a skipped job is no longer new.
_SKIP_WINDOW = timedelta(days=1)
_SKIP_REASONS = (TicketNotFoundError("").reason, TicketClosedError().reason)


@dataclass(frozen=True, slots=True)
class NoteFollowUp:
    """See `knowledge.sources.TicketFollowUp`."""

    database: Database
    job_deadline_seconds: int

    def without_own_notes(self, text: str) -> str:
        return without_own_notes(text)

    async def on_read(self, tenant: Tenant, ticket: DeskTicket, seconds_ago: float) -> None:
        """Measure a closed ticket and its note; make a job if it was reopened.

        `seconds_ago` is the greatest age of the ticket's state. Raises one of DATABASE_FAILURES.
        """
        if ticket.closed:
            # This is first, because `seconds_ago` counts from now.
            lasted = ticket.seconds_to_closing
            await refresh.note_closed(self.database, tenant.id, ticket.ticket_id, seconds_ago, lasted)
            note = await feedback.last_note(self.database, tenant.id, ticket.ticket_id)
            if note is not None:
                await self._measure_triage(tenant, ticket, note)
                await self._measure_uptake(tenant, ticket, note)
        else:
            await self._check_reopened(tenant, ticket, seconds_ago)

    async def _measure_triage(self, tenant: Tenant, ticket: DeskTicket, note: LastNote) -> None:
        """Compare suggestions with the ticket's values; an empty value does not match."""
        values = {"category": ticket.category, "priority": ticket.priority, "group": ticket.group}
        matched = {name: fold(value) == fold(values[name]) for name, value in note.suggestions.items()}
        if matched:
            await feedback.record_triage(self.database, tenant.id, note.job_id, matched)

    async def _measure_uptake(self, tenant: Tenant, ticket: DeskTicket, note: LastNote) -> None:
        if not ticket.outcome or not note.is_unmeasured:
            return
        text = f"{ticket.subject}\n{ticket.description}"
        ratio = taken_up(note.steps, ticket.outcome, text, languages_of_tenant(tenant))
        if ratio is None:
            return
        version = await feedback.record_taken_up(self.database, tenant.id, note.job_id, ratio)
        if version is not None:
            metrics.taken_up(tenant.id, version.prompt, version.model, ratio)

    async def _check_reopened(self, tenant: Tenant, ticket: DeskTicket, seconds_ago: float) -> None:
        """Make a job for a reopened ticket with a note, if the tenant wants that.

        A ticket with a job that was skipped because it was closed is reported once. If the tenant wants that, any later
        reading makes its job: the setting may have changed since.
        """
        key = (self.database, tenant.id, ticket.ticket_id)
        if not tenant.note.if_reopened:
            await refresh.forget_closing(*key)
        elif await refresh.was_reopened(*key):
            await request_refresh(*key, SEEN_REOPENED, self.job_deadline_seconds)
        ago = timedelta(seconds=seconds_ago)
        skipped = await missed_webhooks.seen_open_again(*key, reasons=_SKIP_REASONS, window=_SKIP_WINDOW, ago=ago)
        if skipped is None:
            return
        if skipped.is_new:
            metrics.RECONCILE_FOUND.labels(tenant.id, "reopened").inc()
            mode = "on" if tenant.recovers else "report"
            log_event(log_events.TICKET_REOPENED, job_id=skipped.job_id, ticket_id=ticket.ticket_id, reconcile=mode)
        if tenant.recovers:
            await request_refresh(*key, SEEN_REOPENED, self.job_deadline_seconds)
