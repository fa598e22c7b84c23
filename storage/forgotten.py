"""What a worker asks about a ticket that somebody may have had forgotten, while its job runs."""

from sqlalchemy import select, update

from storage import tombstones
from storage.claims import Claim
from storage.jobs import FORGOTTEN
from storage.models import Job, JobState
from storage.session import Database


async def is_forgotten(database: Database, held: Claim, ticket_id: str, requester: str) -> bool:
    """Return True if the ticket, by any of its numbers, or whoever asked (an address) was forgotten.

    Whose ticket the job is about is written down first, so that who forgets a requester finds this job from now on.
    """
    noted = update(Job).where(Job.id == held.job_id, Job.claim_token == held.token)
    noted = noted.values(requester=tombstones.of_requester(requester)).returning(Job.requester)
    ticket_ids = [number for number in (held.ticket_id, ticket_id, held.desk_id, held.display_id) if number]
    async with database.tenant(held.tenant_id) as session:
        if await session.scalar(noted) is not None:
            return await tombstones.are_left(session, ticket_ids, requester)
    # There is no key yet. In a transaction of its own: an eraser may make it just now, and wait for the row above.
    async with database.tenant(held.tenant_id) as session:
        await tombstones.make_key(session, held.tenant_id)
    async with database.tenant(held.tenant_id) as session:
        await session.execute(noted)
        return await tombstones.are_left(session, ticket_ids, requester)


async def was_forgotten(database: Database, held: Claim) -> bool:
    """Return True if the job was ended because its ticket was forgotten."""
    async with database.tenant(held.tenant_id) as session:
        question = select(Job.reason).where(Job.id == held.job_id, Job.state == JobState.SKIPPED)
        return await session.scalar(question) == FORGOTTEN
