"""Claims of one job by its id, regardless of its turn."""

import time
from datetime import timedelta
from uuid import UUID, uuid4

from sqlalchemy import text

from dispatch.outcome import Outcome
from storage.claims import Claim
from storage.jobs import ANOTHER_FIRST, NOTE_MISSING
from storage.limits import ANOTHER_FIRST_WAIT, ECHO, LONGEST_LIFE, MOST_ATTEMPTS
from storage.session import Database
from workflow.runner import Runner, run_attempt

_CLAIM = text(
    "SELECT c.*, n.* FROM claim_job("
    ":id, :owner, :token, :lease, :attempts, :wait, :longest, :echo, :another_first, :missing) c"
    " LEFT JOIN LATERAL numbers_of_job(c.tenant_id, :id) n ON true"
)


async def claim_by_id(database: Database, job_id: UUID, owner: str, lease_seconds: float) -> Claim | None:
    """Claim a job that waits or whose lease expired; return None if there is none."""
    token, asked_at = uuid4(), time.monotonic()
    rows = await database.call(
        _CLAIM,
        id=job_id,
        owner=owner,
        token=token,
        lease=timedelta(seconds=lease_seconds),
        attempts=MOST_ATTEMPTS,
        wait=ANOTHER_FIRST_WAIT,
        longest=LONGEST_LIFE,
        echo=ECHO,
        another_first=ANOTHER_FIRST,
        missing=NOTE_MISSING,
    )
    return Claim(job_id=job_id, token=token, owner=owner, asked_at=asked_at, **rows[0]) if rows else None


async def run_job(runner: Runner, job_id: UUID) -> Outcome | None:
    held = await claim_by_id(runner.lease_database, job_id, runner.owner, runner.renewals.lease_seconds)
    return None if held is None else await run_attempt(runner, held)
