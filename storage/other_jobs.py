"""The other jobs of a claimed job's ticket, whichever of its numbers their webhooks named."""

from sqlalchemy import text

from storage.claims import Claim
from storage.jobs import NOTE_MISSING
from storage.limits import ECHO
from storage.session import Database

_ASK = text("SELECT o.posted OR o.earlier FROM other_jobs_of_ticket(:id, :echo, :missing) o")


async def come_first(database: Database, held: Claim) -> bool:
    """Return True if another one waits that may have posted its note, or was accepted earlier: `claim_job`'s order."""
    async with database.tenant(held.tenant_id) as session:
        return bool(await session.scalar(_ASK, {"id": held.job_id, "echo": ECHO, "missing": NOTE_MISSING}))
