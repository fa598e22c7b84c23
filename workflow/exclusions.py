"""Reasons to add no note. Each ends the job as skipped."""

import hashlib
from collections.abc import Callable

from config.tenants import Tenant
from db.session import Database
from integrations.values import DeskTicket
from jobs import claims, details, holdout, refresh
from jobs.claims import Claim, is_forgotten
from jobs.repository import ALREADY_ENHANCED, HELD_OUT, LEFT_OUT, OWN_EVENTS, OWN_FAILURE_NOTE, REFRESHED_LATELY
from knowledge import repository
from privacy.tombstones import FORGOTTEN
from workflow.lease import retry_until_available
from workflow.state import Attempt


class NoNoteWantedError(Exception):
    """The ticket must not get a note from this job.

    The reason is one of `jobs.repository`.
    ALREADY_ENHANCED: another job has noted the ticket, or may have. Our own note changes the ticket, and a desk may
    send a webhook for each change. In a dry run the other job's answer counts.
    REFRESHED_LATELY: a further note is requested, but the ticket had one within the hour.
    OWN_FAILURE_NOTE: another job has just left a failure note, which may have caused this webhook.
    FORGOTTEN: the ticket or its requester was erased on request.
    LEFT_OUT: the tenant's rules exclude the ticket.
    HELD_OUT: the ticket belongs to the share without a note (`report.holdout`).
    NOTHING_FOUND: no similar ticket or document was found, and the tenant then wants no note.
    DRY_RUN: the tenant is in a dry run; the answer stays in the row.
    """

    expected = True
    result = "skipped"

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


async def refuse_event(attempt: Attempt) -> None:
    """Refuse a webhook with an event that the tenant's rules exclude.

    A job without a webhook has an empty event. An answer of an earlier attempt or a dry run is erased first, so that
    nothing of the ticket is kept.
    """
    if not attempt.tenant_settings().rules.depends_on("event"):
        return
    event = await retry_until_available(claims.event_of, attempt.database, attempt.claim)
    if event not in OWN_EVENTS and attempt.tenant_settings().rules.excludes({"event": event}):
        if attempt.claim.answered:
            await retry_until_available(claims.erase_answer, attempt.database, attempt.claim)
        raise NoNoteWantedError(LEFT_OUT)


async def refuse_ticket(attempt: Attempt, ticket: DeskTicket) -> None:
    """Refuse a ticket, just read, that the tenant's rules exclude.

    If nothing of the ticket may be kept, its copy and the answers of earlier jobs are erased at once. Housekeeping
    makes no other copy.
    """
    rules = attempt.tenant_settings().rules
    if rules.forbids(ticket.kinds):
        await retry_until_available(
            repository.remove_ticket, attempt.database, attempt.claim.tenant_id, ticket.ticket_id
        )
        await retry_until_available(claims.erase_answers, attempt.database, attempt.claim)
    if rules.excludes(ticket.kinds):
        raise NoNoteWantedError(LEFT_OUT)


async def refuse_forgotten(attempt: Attempt, ticket: DeskTicket) -> None:
    if await retry_until_available(is_forgotten, attempt.database, attempt.claim, ticket.ticket_id, ticket.requester):
        raise NoNoteWantedError(FORGOTTEN)


def is_held_out(tenant_id: str, ticket_id: str, percent: int) -> bool:
    """Return True if the ticket belongs to the share without a note.

    `ticket_id` is the desk's id. The result is always the same, and a higher percentage only adds tickets.
    """
    digest = hashlib.sha256(f"{tenant_id} {ticket_id}".encode()).digest()
    return int.from_bytes(digest[:8]) % 100 < percent


async def refuse_held_out(attempt: Attempt) -> None:
    """Refuse a ticket of the share without a note, and store for the report whether it belongs to it.

    A further note is not refused, and neither is one that a person requested.
    """
    claim, share = attempt.claim, attempt.tenant_settings().report.holdout
    if attempt.refresh or not share:
        return
    held_out = is_held_out(claim.tenant_id, claim.id_in_desk, share)
    await retry_until_available(holdout.store, attempt.database, claim, held_out=held_out, share=share)
    if held_out and not await retry_until_available(holdout.is_requested, attempt.database, claim):
        raise NoNoteWantedError(HELD_OUT)


async def refuse_second_dry_run(attempt: Attempt) -> None:
    """In a dry run, refuse a ticket that another job has answered.

    One answer is paid for each ticket.
    """
    if not attempt.tenant_settings().dry_run:
        return
    claim = attempt.claim
    other_job = await retry_until_available(details.other_of_ticket, attempt.database, claim.tenant_id, claim.job_id)
    if other_job is not None:
        raise NoNoteWantedError(ALREADY_ENHANCED)


async def refresh_reason(database: Database, claim: Claim, tenant_settings: Callable[[], Tenant]) -> str:
    """Return the reason for a further note; empty for a first one.

    The reason is `asked` or `reopened` (docs/adr/0016). Raises NoNoteWantedError if the ticket has a note, or the
    webhook is probably an echo, and no further note is wanted. Also raises it if the ticket got its note within the
    hour.
    """
    if not (claim.enhanced or claim.echo):
        return ""
    reason = await retry_until_available(refresh.begin, database, claim, reopened=tenant_settings().note.if_reopened)
    if reason == REFRESHED_LATELY:
        raise NoNoteWantedError(REFRESHED_LATELY)
    if reason is None:
        raise NoNoteWantedError(ALREADY_ENHANCED if claim.enhanced else OWN_FAILURE_NOTE)
    return reason


async def refuse_second_note(attempt: Attempt) -> None:
    """Raise as `refresh_reason` does, or set the reason for a further note."""
    attempt.refresh = await refresh_reason(attempt.database, attempt.claim, attempt.tenant_settings) or attempt.refresh
