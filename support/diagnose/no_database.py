"""Facts of a ticket while Postgres is away, from Redis, the desk and the model."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

from redis.asyncio import Redis

from config.tenant_directory import TenantDirectory
from dispatch.inbox import Inbox
from integrations.looks import DeskLook, Sought
from storage.jobs import Event
from support.diagnose.choosing import AskedAbout, SeveralTenants
from support.diagnose.facts import Facts, QueueSigns
from support.diagnose.gathering import STORE_SECONDS, within
from support.diagnose.outside import LooksItself
from support.diagnose.queue_looks import look_at_queue

_DOES_NOT_ANSWER = "it does not answer"


async def facts_without_database(
    redis: Redis | None, tenants: TenantDirectory, outside: LooksItself, asked: AskedAbout
) -> Facts:
    """Return the facts that need no Postgres.

    Raises SeveralTenants if the inbox has the ticket of more than one tenant.
    """
    (queue, failure), events = await asyncio.gather(_queue(redis), _events(redis, asked))
    owners = sorted({event.tenant_id for event in events})
    if len(owners) > 1:
        raise SeveralTenants(owners)
    event = events[0] if events else None
    known = [tenant.id for tenant in tenants.all()]
    tenant_id = event.tenant_id if event else asked.tenant_id or (known[0] if len(known) == 1 else None)
    ticket_id = event.ticket_id if event else asked.ticket_id or ""
    no_ticket = DeskLook(failure="only the database knows the job's ticket")
    desk, model = await asyncio.gather(
        # Any job's note: without rows the ticket's job is unknown.
        outside.look_for(tenant_id, Sought(ticket_id, any_note=True)) if ticket_id else _answer(no_ticket),
        outside.model(tenant_id),
    )
    return Facts(
        datetime.now(UTC),
        tenant_id,
        ticket_id,
        inbox=event,
        queue=queue,
        queue_failure=failure,
        database_failure=_DOES_NOT_ANSWER,
        desk=desk,
        model=model,
    )


async def _queue(redis: Redis | None) -> tuple[QueueSigns | None, str]:
    return (None, "") if redis is None else await look_at_queue(redis, STORE_SECONDS)


async def _events(redis: Redis | None, asked: AskedAbout) -> Sequence[Event]:
    """Return the ticket's or job's webhooks in the inbox; none after a timeout."""
    found = None if redis is None else await within(Inbox(redis).all())
    return [
        event
        for event in found or ()
        if asked.tenant_id in (None, event.tenant_id)
        and (event.job_id == asked.job_id if asked.job_id else event.ticket_id == asked.ticket_id)
    ]


async def _answer(look: DeskLook) -> DeskLook:
    return look
