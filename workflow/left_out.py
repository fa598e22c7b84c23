"""Tickets that the tenant's rules leave out: known by the webhook's event, or once the ticket was read."""

from functools import partial

from integrations.values import DeskTicket
from storage import claims, history, other_jobs
from storage.jobs import OWN_EVENTS
from workflow.attempt import Attempt, LeftOut
from workflow.lease import insist


async def refuse_event(attempt: Attempt) -> None:
    """Raise LeftOut if the event of the job's webhook is one that is left out; an absent event is an empty name.

    A job without a webhook has no event of a desk.
    An answer that an earlier attempt, or a dry run, has left in the row goes first: of the ticket nothing is kept.
    """
    if not attempt.wishes().rules.ask_for("event"):
        return
    event = await insist(partial(claims.event_of, attempt.database, attempt.claim))
    if event in OWN_EVENTS:
        return
    if attempt.wishes().rules.leave_out({"event": event}):
        if attempt.claim.answered:
            await insist(partial(claims.erase_answer, attempt.database, attempt.claim))
        raise LeftOut


def minds_ticket(attempt: Attempt) -> bool:
    """Return True if what the desk has the ticket in may leave it out: it may be moved while its job waits."""
    rules = attempt.wishes().rules
    return any(rules.ask_for(kind) for kind in ("category", "group", "site", "template"))


async def refuse_ticket(attempt: Attempt, ticket: DeskTicket) -> None:
    """Raise LeftOut if the ticket, which was just read, is one that is left out.

    Of a ticket of which nothing may be kept the copy, and the answers that jobs before this one have left, go at once;
    housekeeping makes no other copy.
    """
    rules = attempt.wishes().rules
    if rules.forbid(ticket.kinds):
        remove = partial(history.remove_ticket, attempt.database, attempt.claim.tenant_id, ticket.ticket_id)
        await insist(remove)
        await insist(partial(other_jobs.erase_answers, attempt.database, attempt.claim))
    if rules.leave_out(ticket.kinds):
        raise LeftOut
