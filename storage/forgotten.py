"""Checks of a worker for a ticket that was forgotten while its job runs."""

from sqlalchemy import Text, bindparam, select, text

from storage import tombstones
from storage.claims import Claim
from storage.jobs import FORGOTTEN
from storage.models import Job, JobState
from storage.session import Database

_NOTE = text("""
    UPDATE jobs SET requester = CASE WHEN :folded = '' THEN '' ELSE
        (SELECT sha256(k.key || convert_to('requester' || :folded, 'UTF8')) FROM tombstone_keys k) END
    WHERE id = :id AND claim_token = :token RETURNING requester
""").bindparams(bindparam("folded", type_=Text))


async def is_forgotten(database: Database, held: Claim, ticket_id: str, requester: str) -> bool:
    """Return True if the ticket (any number) or its requester was forgotten.

    `requester`: an address, stored first, so that later erasures find this job.
    """
    numbers = [number for number in (held.ticket_id, ticket_id, held.desk_id, held.display_id) if number]
    values = {"numbers": numbers, "folded": tombstones.fold(requester), "id": held.job_id, "token": held.token}
    noted, left = await database.call_as(held.tenant_id, _NOTE, tombstones.ARE_LEFT, **values)
    if not noted or noted[0]["requester"] is None:
        # There is no key yet. A separate transaction: an eraser may be making it now, and waiting for the row above.
        async with database.tenant(held.tenant_id) as session:
            await tombstones.make_key(session, held.tenant_id)
        _, left = await database.call_as(held.tenant_id, _NOTE, tombstones.ARE_LEFT, **values)
    return bool(left[0]["are_left"])


async def was_forgotten(database: Database, held: Claim) -> bool:
    async with database.tenant(held.tenant_id) as session:
        question = select(Job.reason).where(Job.id == held.job_id, Job.state == JobState.SKIPPED)
        return await session.scalar(question) == FORGOTTEN
