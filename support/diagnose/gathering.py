"""Gathering of a ticket's facts from stores, desk and model, each with a timeout.

A source that fails or times out is not checked; the verdict rests on the others.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar
from uuid import UUID

from redis.asyncio import Redis
from redis.exceptions import RedisError

from config.tenant_directory import TenantDirectory
from config.tenants import Tenant
from dispatch.inbox import Inbox
from dispatch.queue import QueueUnavailableError
from integrations.looks import DeskLook, Sought
from integrations.resilience import HoldReason
from storage import by_hand, job_figures, rejections
from storage.by_hand import Details, Listed
from storage.jobs import Event
from storage.models import JobState
from storage.reconciling import seen_without_webhook
from storage.session import DATABASE_FAILURES, Database
from storage.tombstones import forgotten_among
from support.diagnose.facts import Facts, QueueSigns, look_at_queue
from support.diagnose.outside import LooksItself, Outside
from support.diagnose.reasons import BEHIND_ANOTHER

STORE_SECONDS = 0.5
_JOB_SECONDS = 1.0
_MOST_JOBS = 50
_MOST_TENANTS = 200
_MOST_SHARING = 5
_MODEL_HOLDS = frozenset(HoldReason)
_OPEN = (JobState.WAITING, JobState.RUNNING)

Part = TypeVar("Part")


class AmbiguousTenantError(Exception):
    """Several tenants have a ticket of this number, and none was named."""

    def __init__(self, tenants: Sequence[str]) -> None:
        super().__init__(", ".join(tenants))
        self.tenants = list(tenants)


class UnknownTenantError(AmbiguousTenantError):
    """The named tenant has no job of the ticket and no settings here; `tenants` do."""


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
    for states in ([JobState.COMPLETED], _OPEN):
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

    def rank(job: Listed) -> int:
        if job.state == JobState.COMPLETED:
            return 0
        if job.reason in BEHIND_ANOTHER:
            return 3
        return 1 if job.state in _OPEN else 2

    return min(jobs, key=rank, default=None)


def choose_after_removal(jobs: Sequence[Listed], completed: Listed) -> Listed | None:
    """Return the newest job that may bring the ticket another note, or None.

    It is open, or accepted after the completed one.
    """
    for job in jobs:
        since = (job.accepted_at, job.id) > (completed.accepted_at, completed.id)
        if job.id != completed.id and (job.state in _OPEN or (since and job.reason not in BEHIND_ANOTHER)):
            return job
    return None


class Gatherer:
    """Gathers facts; `redis` is None without an address."""

    def __init__(self, database: Database, redis: Redis | None, tenants: TenantDirectory, outside: Outside) -> None:
        self._database = database
        self._redis = redis
        self._tenants = tenants
        self._outside = outside

    async def facts(self, asked: AskedAbout) -> Facts | None:
        """Return the facts; None if there is no such job.

        Raises AmbiguousTenantError or UnknownTenantError, and TimeoutError or one of DATABASE_FAILURES if the jobs
        can't be read.
        """
        now = datetime.now(UTC)
        async with asyncio.timeout(_JOB_SECONDS):
            if asked.job_id is not None:
                job = await by_hand.details(self._database, asked.job_id)
                if job is None or asked.tenant_id not in (None, job.tenant_id):
                    return None
                jobs = await jobs_of(self._database, job.tenant_id, job.ticket_id)
                facts = Facts(now, job.tenant_id, job.ticket_id, job=job)
            else:
                ticket_id = asked.ticket_id or ""
                tenant_id = asked.tenant_id or await self._tenant(ticket_id)
                jobs = await self._jobs(tenant_id, ticket_id)
                known = [tenant.id for tenant in self._tenants.all()]
                if tenant_id is not None and known and not jobs and not self._tenants.names(tenant_id):
                    raise UnknownTenantError(known)
                facts = Facts(now, tenant_id, ticket_id, job=await self._details(jobs))
        facts = await self._around(facts, jobs)
        other = next((number for number in facts.desk.numbers if number != facts.ticket_id), None)
        if facts.job is None and other is not None:
            # A webhook may have named the ticket's other number, which no job has revealed yet.
            jobs = await within(self._jobs(facts.tenant_id, other)) or []
            facts = replace(facts, job=await within(self._details(jobs)))
        if asked.job_id is None:
            facts = await self._after_removal(facts, jobs)
        return await self._of_rows(facts, jobs)

    async def _after_removal(self, facts: Facts, jobs: Sequence[Listed]) -> Facts:
        removed = next((job for job in jobs if facts.job is not None and job.id == facts.job.id), None)
        if removed is None or removed.state != JobState.COMPLETED or facts.desk.note is not False:
            return facts
        later = choose_after_removal(jobs, removed)
        job = None if later is None else await within(by_hand.details(self._database, later.id))
        if job is None:
            return facts
        desk = await self._outside.desk(job.tenant_id, facts.ticket_id, job)
        return replace(facts, job=job, desk=desk if desk.asked else replace(facts.desk, note=None))

    async def _jobs(self, tenant_id: str | None, ticket_id: str) -> list[Listed]:
        return [] if tenant_id is None else await jobs_of(self._database, tenant_id, ticket_id)

    async def _details(self, jobs: Sequence[Listed]) -> Details | None:
        chosen = choose(jobs)
        return None if chosen is None else await by_hand.details(self._database, chosen.id)

    async def _tenant(self, ticket_id: str) -> str | None:
        known = [tenant.id for tenant in self._tenants.all()]
        owners = set(await by_hand.owners(self._database, ticket_id))

        async def add_heard_of() -> None:
            for tenant in known[:_MOST_TENANTS]:
                if tenant not in owners and await rejections.is_heard_of(self._database, tenant, ticket_id):
                    owners.add(tenant)

        await within(add_heard_of())
        if len(owners) > 1:
            raise AmbiguousTenantError(sorted(owners))
        return owners.pop() if owners else known[0] if len(known) == 1 else None

    async def _around(self, facts: Facts, jobs: Sequence[Listed]) -> Facts:
        tenant_id = facts.tenant_id
        tenant = self._tenants.get(tenant_id) if tenant_id else None
        rows = asyncio.gather(
            within(job_figures.signs_of_work(self._database)),
            within(job_figures.held_back_of(self._database, tenant_id)) if tenant_id is not None else _nothing(),
            within(self._limit_reached(tenant)) if tenant is not None else _nothing(),
            within(self._held_elsewhere(tenant)) if tenant is not None else _nothing(),
        )
        others = asyncio.gather(
            _queue(self._redis),
            within(_inbox(self._redis, facts)) if not jobs else _nothing(),
            self._outside.desk(tenant_id, facts.ticket_id, facts.job),
            self._outside.model(tenant_id),
        )
        work, held, at_limit, held_elsewhere = await rows
        (queue, failure), inbox, desk, model = await others
        if tenant is not None:
            facts = replace(
                facts,
                tenant_closed=not (tenant.usable or tenant.opens_webhook),
                reconcile="poll" if tenant.polled else "on" if tenant.recovers else "report",
                has_rules=bool(tenant.rules.only or tenant.rules.never),
            )
        return replace(
            facts,
            work=work,
            held=held or {},
            held_elsewhere=held_elsewhere or {},
            queue=queue,
            queue_failure=failure,
            inbox=inbox,
            most_running=at_limit,
            desk=desk,
            model=model,
        )

    async def _limit_reached(self, tenant: Tenant) -> int | None:
        most = tenant.share.most_running
        if most is None:
            return None
        running = await by_hand.listed(self._database, tenant_id=tenant.id, states=[JobState.RUNNING], most=most)
        return most if len(running) >= most else None

    async def _held_elsewhere(self, tenant: Tenant) -> dict[str, datetime]:
        """Return by reason the last model hold of tenants that share the key.

        Empty if the process's key is unknown: tenants with a key of their own can't be recognised then.
        """
        if not self._tenants.process_key("OPENAI_API_KEY"):
            return {}
        shared = [each for each in self._tenants.all() if not (each.model.api_key or each.model.withdrawn)]
        same = {each.id for each in shared if each.model.model == tenant.model.model}
        sharing = same - {tenant.id} if tenant.id in same else set()
        waiting = await job_figures.jobs_held_back(self._database) if sharing else {}
        found: dict[str, datetime] = {}
        for other in sorted({of for of, reason in waiting if of in sharing and reason in _MODEL_HOLDS})[:_MOST_SHARING]:
            for reason, held in (await job_figures.held_back_of(self._database, other)).items():
                if reason in _MODEL_HOLDS:
                    found[reason] = max(held.last_at, found.get(reason, held.last_at))
        return found

    async def _of_rows(self, facts: Facts, jobs: Sequence[Listed]) -> Facts:
        job, tenant_id, database = facts.job, facts.tenant_id, self._database
        numbers = {facts.ticket_id, *facts.desk.numbers}
        if job is not None:
            numbers |= {number for number in (job.ticket_id, job.desk_id, job.display_id) if number}
        if tenant_id is not None:
            webhooks, missing, forgotten, events = await asyncio.gather(
                within(rejections.receiving(database, tenant_id, sorted(numbers))),
                within(seen_without_webhook(database, tenant_id, sorted(numbers))),
                within(forgotten_among(database, tenant_id, numbers)) if job is None else _nothing(),
                within(by_hand.events(database, job)) if job is not None else _nothing(),
            )
            facts = replace(facts, webhooks=webhooks, missing=missing, forgotten=bool(forgotten))
            if job is not None:
                facts = replace(facts, asked_at=job.asked_at, events=events)
        return replace(facts, others=[other for other in jobs if job is None or other.id != job.id])


async def facts_without_database(
    asked: AskedAbout, redis: Redis | None, tenants: TenantDirectory, outside: LooksItself
) -> Facts:
    """Return the facts that need no Postgres: from Redis, the desk and the model.

    Raises AmbiguousTenantError if the inbox has the ticket of more than one tenant.
    """
    (queue, failure), found = await asyncio.gather(
        _queue(redis), within(Inbox(redis).all()) if redis is not None else _nothing()
    )
    events = [
        event
        for event in found or ()
        if asked.tenant_id in (None, event.tenant_id)
        and (event.job_id == asked.job_id if asked.job_id else event.ticket_id == asked.ticket_id)
    ]
    owners = sorted({event.tenant_id for event in events})
    if len(owners) > 1:
        raise AmbiguousTenantError(owners)
    event = events[0] if events else None
    known = [tenant.id for tenant in tenants.all()]
    tenant_id = event.tenant_id if event else asked.tenant_id or (known[0] if len(known) == 1 else None)
    ticket_id = event.ticket_id if event else asked.ticket_id or ""
    # Any job's note: without rows the ticket's job is unknown.
    desk = outside.look_for(tenant_id, Sought(ticket_id, any_note=True)) if ticket_id else _nothing()
    seen, model = await asyncio.gather(desk, outside.model(tenant_id))
    return Facts(
        datetime.now(UTC),
        tenant_id,
        ticket_id,
        inbox=event,
        queue=queue,
        queue_failure=failure,
        database_failure="it does not answer",
        desk=seen or DeskLook(failure="only the database knows the job's ticket"),
        model=model,
    )


async def _queue(redis: Redis | None) -> tuple[QueueSigns | None, str]:
    return (None, "") if redis is None else await look_at_queue(redis, STORE_SECONDS)


async def _inbox(redis: Redis | None, facts: Facts) -> Event | None:
    if redis is None or facts.tenant_id is None:
        return None
    events = await Inbox(redis).of_tenant(facts.tenant_id)
    return next((event for event in events if event.ticket_id == facts.ticket_id), None)


async def within(part: Awaitable[Part]) -> Part | None:
    try:
        async with asyncio.timeout(STORE_SECONDS):
            return await part
    except (*DATABASE_FAILURES, RedisError, OSError, TimeoutError, QueueUnavailableError):
        return None


async def _nothing() -> None:
    """Return None for a part that is not queried."""
