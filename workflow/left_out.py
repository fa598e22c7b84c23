"""Tickets excluded by the tenant's rules, by event or by the ticket's fields."""

from functools import partial

from integrations.values import DeskTicket
from storage import claims, history
from storage.jobs import OWN_EVENTS
from workflow.attempt import Attempt, LeftOut
from workflow.lease import insist


async def refuse_event(attempt: Attempt) -> None:
    """Raise LeftOut if the webhook's event is excluded; none is an empty name.

    A job without a webhook has no desk event. An answer in the row, of an earlier attempt or a dry run, is erased
    first: nothing of the ticket is kept.
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
    """Return True if the rules depend on fields of the ticket, which may change."""
    rules = attempt.wishes().rules
    return any(rules.ask_for(kind) for kind in ("category", "group", "site", "template"))


async def refuse_ticket(attempt: Attempt, ticket: DeskTicket) -> None:
    """Raise LeftOut if the ticket, which was just read, is excluded.

    If nothing of a ticket may be kept, its copy and the answers of earlier jobs are erased at once; housekeeping makes
    no other copy.
    """
    rules = attempt.wishes().rules
    if rules.forbid(ticket.kinds):
        remove = partial(history.remove_ticket, attempt.database, attempt.claim.tenant_id, ticket.ticket_id)
        await insist(remove)
        await insist(partial(claims.erase_answers, attempt.database, attempt.claim))
    if rules.leave_out(ticket.kinds):
        raise LeftOut
