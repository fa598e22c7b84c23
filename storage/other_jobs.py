"""Other jobs of a claimed job's ticket, by either of its numbers."""

from sqlalchemy import or_, text, update

from storage.claims import Claim
from storage.jobs import NOTE_MISSING
from storage.limits import ECHO
from storage.models import Job
from storage.session import Database

_ASK = text("SELECT o.posted OR o.earlier FROM other_jobs_of_ticket(:id, :echo, :missing) o")


async def come_first(database: Database, held: Claim) -> bool:
    """Return True if a waiting job comes first in `claim_job`'s order.

    It may have posted its note, or was accepted earlier.
    """
    async with database.tenant(held.tenant_id) as session:
        return bool(await session.scalar(_ASK, {"id": held.job_id, "echo": ECHO, "missing": NOTE_MISSING}))


async def erase_answers(database: Database, held: Claim) -> None:
    """Erase GPT-4's answers from ended jobs of a forgotten ticket."""
    numbers = (held.ticket_id, held.id_in_desk)
    erased = update(Job).where(
        Job.tenant_id == held.tenant_id,
        Job.id != held.job_id,
        or_(Job.ticket_id.in_(numbers), Job.desk_id.in_(numbers)),
        Job.finished_at.is_not(None),
        Job.enhancement.is_not(None),
    )
    async with database.tenant(held.tenant_id) as session:
        await session.execute(erased.values(enhancement=None))
