"""Whether a ticket has a note that GPT-4 failed: written into the row of the job that leaves it, before it does."""

from sqlalchemy import exists, func, update
from sqlalchemy.orm import aliased

from storage.claims import Claim
from storage.models import Job, JobState
from storage.session import Database


async def may_leave(database: Database, held: Claim) -> bool:
    """Note that a failure note is left now, and return True; False if the job was retried since, or its ticket has one.

    A ticket gets one, whatever comes later: the note changes the ticket, and its desk may send a webhook for that.
    """
    other = aliased(Job)
    has_one = exists().where(
        other.tenant_id == held.tenant_id, other.ticket_id == held.ticket_id, other.failure_noted_at.is_not(None)
    )
    noted = (
        update(Job)
        .where(Job.id == held.job_id, Job.claim_token == held.token, Job.state == JobState.FAILED, ~has_one)
        .values(failure_noted_at=func.clock_timestamp())
        .returning(Job.id)
    )
    async with database.tenant(held.tenant_id) as session:
        return await session.scalar(noted) is not None


async def not_left(database: Database, held: Claim) -> None:
    """Take `may_leave` back: the note was not sent."""
    noted = update(Job).where(Job.id == held.job_id, Job.claim_token == held.token, Job.state == JobState.FAILED)
    async with database.tenant(held.tenant_id) as session:
        await session.execute(noted.values(failure_noted_at=None))
