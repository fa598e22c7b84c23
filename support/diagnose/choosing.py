"""Choice of the tenant and of the most informative job."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from storage import by_hand
from storage.by_hand import Details, Listed
from storage.models import JobState
from storage.session import Database
from support.diagnose.reasons import BEHIND_ANOTHER

_MOST_JOBS = 50


class SeveralTenants(Exception):
    """Several tenants have a ticket of this number, and none was named."""

    def __init__(self, tenants: Sequence[str]) -> None:
        super().__init__(", ".join(tenants))
        self.tenants = list(tenants)


class TenantNotKnown(Exception):
    """The named tenant has no job of the ticket and no settings here; `tenants` do."""

    def __init__(self, tenants: Sequence[str]) -> None:
        super().__init__(", ".join(tenants))
        self.tenants = list(tenants)


@dataclass(frozen=True, slots=True)
class AskedAbout:
    """Subject of a diagnosis: a ticket, of one or any tenant, or one job."""

    ticket_id: str | None
    tenant_id: str | None
    job_id: UUID | None


async def jobs_of(database: Database, tenant_id: str, ticket_id: str) -> list[Listed]:
    """List the newest jobs of a ticket, newest first.

    The newest completed and the newest open job are included, however old.
    """
    listed = partial(by_hand.listed, database, tenant_id=tenant_id, ticket_id=ticket_id)
    jobs = await listed(most=_MOST_JOBS)
    if len(jobs) < _MOST_JOBS:
        return jobs
    found = {job.id: job for job in jobs}
    for states in ([JobState.COMPLETED], [JobState.WAITING, JobState.RUNNING]):
        found |= {job.id: job for job in await listed(states=states, most=1)}
    return sorted(found.values(), key=lambda job: (job.accepted_at, job.id), reverse=True)


async def find_job(database: Database, asked: AskedAbout) -> tuple[Details | None, list[Listed]]:
    """Return the most informative job, and all jobs of a requested ticket.

    Without `asked.tenant_id` the jobs are of any tenant.
    """
    jobs = [] if asked.job_id else await by_hand.listed(database, tenant_id=asked.tenant_id, ticket_id=asked.ticket_id)
    best = choose(jobs)
    job_id = best.id if best else asked.job_id
    job = await by_hand.details(database, job_id) if job_id else None
    return (None if job and asked.tenant_id not in (None, job.tenant_id) else job), jobs


def choose(jobs: Sequence[Listed]) -> Listed | None:
    """Return the most informative of a ticket's jobs, given newest first.

    Completed jobs rank first, then open ones; a job behind another one ranks last.
    """
    return min(jobs, key=_rank, default=None)


def _rank(job: Listed) -> int:
    if job.state == JobState.COMPLETED:
        return 0
    if job.reason in BEHIND_ANOTHER:
        return 3
    if job.state in (JobState.WAITING, JobState.RUNNING):
        return 1
    return 2


def choose_after_removal(jobs: Sequence[Listed], completed: Listed) -> Listed | None:
    """Return the newest job that may bring the ticket another note, or None.

    It is open, or accepted after the completed one.
    """
    for job in jobs:
        is_open = job.state in (JobState.WAITING, JobState.RUNNING)
        since = (job.accepted_at, job.id) > (completed.accepted_at, completed.id)
        if job.id != completed.id and (is_open or (since and job.reason not in BEHIND_ANOTHER)):
            return job
    return None
