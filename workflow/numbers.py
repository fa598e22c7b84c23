"""The two numbers of a ticket: the desk's id for calls, and the display number.

A webhook may contain either. Both are written into the row as soon as they are known, so that no later attempt searches
for one again, and jobs of the same ticket under its other number are recognized (docs/adr/0019).
"""

from functools import partial

from integrations.errors import HeldBack
from integrations.values import DeskTicket
from observability.identifiers import bind, other_numbers
from storage import claims
from storage.jobs import ANOTHER_FIRST
from storage.limits import ANOTHER_FIRST_WAIT
from workflow.attempt import Attempt
from workflow.dry_run import refuse_second_dry_run
from workflow.lease import insist
from workflow.refreshing import refuse_second_note


async def read_ticket(attempt: Attempt) -> DeskTicket:
    """Return the job's open ticket, and store its numbers in the claim and the row.

    Raises the desk's errors, those of `refuse_second_note`, HeldBack if a job of the ticket's other number precedes,
    and LeaseLost.
    """
    named = attempt.claim.ticket_id
    if attempt.claim.desk_id is None:
        desk_id = await attempt.desk.id_of(named)
        if desk_id != named:
            await _know(attempt, desk_id, named)
    known = attempt.claim.desk_id is not None
    ticket = await attempt.desk.read_open_ticket(attempt.claim.id_in_desk, begun=known)
    if not known and ticket.shown != ticket.ticket_id:
        await _know(attempt, named, ticket.shown)
    return ticket


async def _know(attempt: Attempt, desk_id: str, display_id: str) -> None:
    write = partial(claims.know_numbers, attempt.database, attempt.claim, desk_id, display_id)
    claim = attempt.claim = await insist(write)
    bind(**other_numbers(claim.ticket_id, desk_id, display_id))
    await refuse_second_note(attempt)
    if claim.another_first:
        raise HeldBack(ANOTHER_FIRST, ANOTHER_FIRST_WAIT.total_seconds())
    await refuse_second_dry_run(attempt)
