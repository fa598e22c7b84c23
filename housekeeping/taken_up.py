"""Use of a note measured from the ticket's resolution."""

from collections.abc import Sequence

from integrations.values import DeskTicket
from observability import note_metrics
from retrieval.terms import taken_up
from storage import feedback
from storage.session import Database


async def measure(database: Database, tenant_id: str, ticket: DeskTicket, languages: Sequence[str]) -> None:
    """Store once the note's share in a closed ticket's resolution.

    Nothing is stored without a note of ours. Raises one of DATABASE_FAILURES.
    """
    if not (ticket.closed and ticket.resolution):
        return
    note = await feedback.unmeasured_note(database, tenant_id, ticket.ticket_id)
    if note is None:
        return
    ratio = taken_up(note.steps, ticket.resolution, f"{ticket.subject}\n{ticket.description}", languages)
    if ratio is None:
        return
    version = await feedback.record_taken_up(database, tenant_id, note.job_id, ratio)
    if version is not None:
        note_metrics.taken_up(tenant_id, version.prompt, version.model, ratio)
