"""Jobs for tickets found in the desk whose webhook never came."""

from datetime import UTC, datetime, timedelta
from typing import Literal
from uuid import UUID

from uuid_utils.compat import uuid7

from observability import phrases, tracing
from observability.identifiers import bound, other_numbers
from observability.logging import say
from storage import reconciling
from storage.jobs import RECOVERED, Event
from storage.reconciling import SeenTicket
from storage.session import Database

WhyRecovered = Literal["webhook missed", "webhook refused with 429", "polled"]


async def recover_job(
    database: Database,
    tenant_id: str,
    ticket: SeenTicket,
    why: WhyRecovered,
    job_deadline_seconds: int,
) -> UUID | None:
    """Make the job of a missed ticket and return its id; None if it has one by now.

    Its trace begins here, and the relay publishes it. Raises one of DATABASE_FAILURES.
    """
    job_id = uuid7()
    ids = {"ticket_id": ticket.ticket_id, "tenant_id": tenant_id, "job_id": str(job_id)}
    others = other_numbers(ticket.ticket_id, None, ticket.display_id)
    with bound(**ids, **others), tracing.span("Recover", parent=tracing.own_trace()):
        event = Event(job_id, tenant_id, ticket.ticket_id, RECOVERED, (), tracing.traceparent(), datetime.now(UTC))
        if not await reconciling.recover(database, event, timedelta(seconds=job_deadline_seconds)):
            return None
        say(phrases.JOB_RECOVERED, job_id=job_id, ticket_id=ticket.ticket_id, reason=why)
    return job_id
