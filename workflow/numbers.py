"""The two numbers of a ticket: a webhook names either, the desk is called by its id, and people see the other one.

Both are written into the row as soon as they are known, so that no later attempt searches for one again, and so that
jobs of other webhooks, which named the ticket by its other number, are known to be of the same one (docs/adr/0019).
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
    """Return the job's ticket, which is open; its numbers are in the attempt's claim then, and in the row.

    Raises what the desk does; what `refuse_second_note` does, or HeldBack, when jobs of the ticket's other number stand
    in the way; LeaseLost.
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
