"""Which tenant's ticket is meant, and which of its jobs says most of it."""

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
    """The ticket's number is one of several tenants', and none was named."""

    def __init__(self, tenants: Sequence[str]) -> None:
        super().__init__(", ".join(tenants))
        self.tenants = list(tenants)


class TenantNotKnown(Exception):
    """The tenant that was named has no job of the ticket and no setting here; `tenants` have."""

    def __init__(self, tenants: Sequence[str]) -> None:
        super().__init__(", ".join(tenants))
        self.tenants = list(tenants)


@dataclass(frozen=True, slots=True)
class AskedAbout:
    """What a diagnosis is about: a ticket, of a tenant or of whichever has it, or one job."""

    ticket_id: str | None
    tenant_id: str | None
    job_id: UUID | None


async def jobs_of(database: Database, tenant_id: str, ticket_id: str) -> list[Listed]:
    """List the newest jobs of a ticket, and those that say most of it however old they are, newest first."""
    listed = partial(by_hand.listed, database, tenant_id=tenant_id, ticket_id=ticket_id)
    jobs = await listed(most=_MOST_JOBS)
    if len(jobs) < _MOST_JOBS:
        return jobs
    found = {job.id: job for job in jobs}
    for states in ([JobState.COMPLETED], [JobState.WAITING, JobState.RUNNING]):
        found |= {job.id: job for job in await listed(states=states, most=1)}
    return sorted(found.values(), key=lambda job: (job.accepted_at, job.id), reverse=True)


async def find_job(database: Database, asked: AskedAbout) -> tuple[Details | None, list[Listed]]:
    """Return the job that says most, and all jobs of the ticket if a ticket was asked about, of any tenant."""
    jobs = [] if asked.job_id else await by_hand.listed(database, tenant_id=asked.tenant_id, ticket_id=asked.ticket_id)
    best = choose(jobs)
    job_id = best.id if best else asked.job_id
    job = await by_hand.details(database, job_id) if job_id else None
    return (None if job and asked.tenant_id not in (None, job.tenant_id) else job), jobs


def choose(jobs: Sequence[Listed]) -> Listed | None:
    """Return the job that says most of its ticket, of jobs that come newest first: what was done, then what is to come.

    A job that stands behind another one says least.
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
    """Return the newest job that may bring the ticket another note: accepted since, or not ended yet; None for none."""
    for job in jobs:
        is_open = job.state in (JobState.WAITING, JobState.RUNNING)
        since = (job.accepted_at, job.id) > (completed.accepted_at, completed.id)
        if job.id != completed.id and (is_open or (since and job.reason not in BEHIND_ANOTHER)):
            return job
    return None
