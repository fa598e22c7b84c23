"""Jobs without a webhook: further enhancements, on request or after a reopening."""

from datetime import UTC, datetime
from uuid import UUID

from uuid_utils.compat import uuid7

from observability import phrases, tracing
from observability.identifiers import bound
from observability.logging import say
from storage import jobs
from storage.jobs import Event
from storage.session import Database


async def ask_for_refresh(
    database: Database, tenant_id: str, ticket_id: str, event: str, job_deadline_seconds: int
) -> UUID:
    """Make the job and return its id; the relay publishes it.

    Its trace begins here. `event`: one of `storage.jobs.OWN_EVENTS`. Raises one of DATABASE_FAILURES.
    """
    job_id = uuid7()
    with bound(ticket_id=ticket_id, tenant_id=tenant_id, job_id=str(job_id)), tracing.span("Refresh"):
        asked = Event(job_id, tenant_id, ticket_id, event, (), tracing.traceparent(), datetime.now(UTC))
        await jobs.accept_all(database, [asked], job_deadline_seconds, published=False)
        say(phrases.REFRESH_ASKED, job_id=job_id, ticket_id=ticket_id, reason=event)
    return job_id
