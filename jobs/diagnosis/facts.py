"""Facts about a ticket from stores, desk and model, each with a timeout.

A source that fails or times out is reported as not checked. Only the jobs are required.
"""

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Literal, Protocol, TypeVar
from uuid import UUID

from redis.asyncio import Redis
from redis.exceptions import RedisError

from config.tenant_directory import TenantDirectory
from config.tenants import Tenant
from db.session import DATABASE_FAILURES, Database
from integrations.probes import DeskProbe, ModelProbe, ProbeTarget
from integrations.resilience import HoldReason
from jobs import details, rejections, statistics
from jobs.details import Details, Happened, Listed
from jobs.diagnosis.causes import BEHIND_ANOTHER
from jobs.diagnosis.commands import KUBERNETES, Commands
from jobs.inbox import Inbox
from jobs.missed_webhooks import SeenWithoutWebhook, seen_without_webhook
from jobs.models import JobState
from jobs.queue import QueueUnavailableError
from jobs.rejections import WebhookResults
from jobs.repository import ALREADY_ENHANCED, Event
from jobs.statistics import LATELY, HeldJobs, QueueActivity, WorkerActivity, queue_activity
from privacy.tombstones import forgotten_among


@dataclass(frozen=True, slots=True)
class Facts:
    """All facts about a ticket."""

    read_at: datetime  # the database's time if there is a job, else this process's
    tenant_id: str | None
    ticket_id: str
    job: Details | None = None  # the most informative job of the ticket
    events: Sequence[Happened] | None = ()  # of `job`; None if unknown
    others: Sequence[Listed] = ()
    inbox: Event | None = None  # the accepted webhook, in Redis until Postgres has it
    webhooks: WebhookResults | None = None
    missing: SeenWithoutWebhook | None = None  # the ticket as reconciliation saw it, without a webhook
    reconcile: Literal["report", "on", "poll"] | None = None  # None if this process does not know the tenant
    has_rules: bool = False  # the tenant excludes some tickets
    forgotten: bool = False  # there is no job, because the ticket was erased
    tenant_closed: bool | None = None  # no usable setting to authenticate its webhooks
    queue: QueueActivity | None = None
    queue_failure: str = ""  # empty if Redis answers
    database_failure: str = ""  # empty if the database answers
    work: WorkerActivity | None = None
    held: Mapping[str, HeldJobs] = field(default_factory=dict)  # the tenant's jobs that are held back, by reason
    held_elsewhere: Mapping[str, datetime] = field(default_factory=dict)  # reason -> last hold, by the same model key
    most_running: int | None = None  # the tenant's limit, if it is reached
    desk: DeskProbe = field(default_factory=DeskProbe)
    model: ModelProbe = field(default_factory=ModelProbe)
    commands: Commands = KUBERNETES  # for the operator of this system

    @property
    def last_started_at(self) -> datetime | None:
        """Last start of any job in the last ten minutes, including the diagnosed one."""
        own = [event.at for event in self.events or () if event.what == "claimed"]
        started = [at for at in own if self.read_at - at < LATELY]
        if self.work is not None and self.work.last_started_at is not None:
            started.append(self.work.last_started_at)
        return max(started, default=None)


STORE_SECONDS = 0.5
_JOB_SECONDS = 1.0
_MAX_JOBS = 50
_MAX_TENANTS = 200
_MAX_SHARING = 5
_MODEL_HOLDS = frozenset(HoldReason)
_OPEN = (JobState.WAITING, JobState.RUNNING)

Part = TypeVar("Part")


class AmbiguousTenantError(Exception):
    """Several tenants have a ticket of this number, and none was named."""

    def __init__(self, tenants: Sequence[str]) -> None:
        super().__init__(", ".join(tenants))
        self.tenants = list(tenants)


class UnknownTenantError(AmbiguousTenantError):
    """The tenant has no job of the ticket and, unlike `tenants`, no settings here."""


@dataclass(frozen=True, slots=True)
class DiagnosisSubject:
    """Subject of a diagnosis: one job, or a ticket of the named or of any tenant."""

    ticket_id: str | None
    tenant_id: str | None
    job_id: UUID | None


async def jobs_of(database: Database, tenant_id: str, ticket_id: str) -> list[Listed]:
    """Return a ticket's newest jobs, always with its newest completed and open one."""
    listed = partial(details.listed, database, tenant_id=tenant_id, ticket_id=ticket_id)
    jobs = await listed(most=_MAX_JOBS)
    if len(jobs) < _MAX_JOBS:
        return jobs
    by_id = {job.id: job for job in jobs}
    for states in ([JobState.COMPLETED], _OPEN):
        by_id |= {job.id: job for job in await listed(states=states, most=1)}
    return sorted(by_id.values(), key=lambda job: (job.accepted_at, job.id), reverse=True)


def choose(jobs: Sequence[Listed]) -> Listed | None:
    """Return the most informative of a ticket's jobs, given newest first."""

    def rank(job: Listed) -> int:
        if job.state == JobState.COMPLETED:
            return 0
        if job.reason in BEHIND_ANOTHER:
            return 3
        return 1 if job.state in _OPEN else 2

    return min(jobs, key=rank, default=None)


def choose_after_removal(jobs: Sequence[Listed], completed: Listed) -> Listed | None:
    """Return the newest job that may replace the removed note of `completed`."""
    for job in jobs:
        is_newer = (job.accepted_at, job.id) > (completed.accepted_at, completed.id)
        if job.id != completed.id and (job.state in _OPEN or (is_newer and job.reason not in BEHIND_ANOTHER)):
            return job
    return None


class Probes(Protocol):
    """Read-only lookups with a timeout; the result of a failed one has the reason."""

    async def desk(self, tenant_id: str | None, sought: ProbeTarget) -> DeskProbe:
        """Search for the note, or for the ticket."""

    async def model(self, tenant_id: str | None) -> ModelProbe:
        """Check that the server of the tenant's model answers."""


def sought_of(ticket_id: str, job: Details | None) -> ProbeTarget:
    if job is None:
        return ProbeTarget(ticket_id)
    number = job.desk_id or job.ticket_id
    completed = job.state == JobState.COMPLETED
    if completed or job.note_attempted_at:
        note_id = job.note_id if completed else None
        return ProbeTarget(number, job.id, job.note_attempted_at, note_id or None)
    return ProbeTarget(number, any_note=job.reason == ALREADY_ENHANCED)


class FactCollector:
    """Gathers facts; `redis` is None without an address."""

    def __init__(self, database: Database, redis: Redis | None, tenants: TenantDirectory, probes: Probes) -> None:
        self._database = database
        self._redis = redis
        self._tenants = tenants
        self._probes = probes

    async def facts(self, subject: DiagnosisSubject) -> Facts | None:
        """Return the facts; None if there is no such job.

        Raises AmbiguousTenantError or UnknownTenantError, and TimeoutError or one of DATABASE_FAILURES if the jobs
        can't be read.
        """
        now = datetime.now(UTC)
        async with asyncio.timeout(_JOB_SECONDS):
            if subject.job_id is not None:
                job = await details.details(self._database, subject.job_id)
                if job is None or subject.tenant_id not in (None, job.tenant_id):
                    return None
                jobs = await jobs_of(self._database, job.tenant_id, job.ticket_id)
                facts = Facts(now, job.tenant_id, job.ticket_id, job=job)
            else:
                ticket_id = subject.ticket_id or ""
                tenant_id = subject.tenant_id or await self._tenant(ticket_id)
                jobs = await self._jobs(tenant_id, ticket_id)
                known = [tenant.id for tenant in self._tenants.all()]
                if tenant_id is not None and known and not jobs and not self._tenants.names(tenant_id):
                    raise UnknownTenantError(known)
                facts = Facts(now, tenant_id, ticket_id, job=await self._details(jobs))
        facts = await self._current(facts, jobs)
        other = next((number for number in facts.desk.numbers if number != facts.ticket_id), None)
        if facts.job is None and other is not None:
            # A webhook may have named the ticket's other number, which no job has revealed yet.
            jobs = await within(self._jobs(facts.tenant_id, other)) or []
            facts = replace(facts, job=await within(self._details(jobs)))
        if subject.job_id is None:
            facts = await self._after_removal(facts, jobs)
        return await self._of_rows(facts, jobs)

    async def _after_removal(self, facts: Facts, jobs: Sequence[Listed]) -> Facts:
        removed = next((job for job in jobs if facts.job is not None and job.id == facts.job.id), None)
        if removed is None or removed.state != JobState.COMPLETED or facts.desk.note is not False:
            return facts
        later = choose_after_removal(jobs, removed)
        job = None if later is None else await within(details.details(self._database, later.id))
        if job is None:
            return facts
        desk = await self._probes.desk(job.tenant_id, sought_of(facts.ticket_id, job))
        return replace(facts, job=job, desk=desk if desk.asked else replace(facts.desk, note=None))

    async def _jobs(self, tenant_id: str | None, ticket_id: str) -> list[Listed]:
        return [] if tenant_id is None else await jobs_of(self._database, tenant_id, ticket_id)

    async def _details(self, jobs: Sequence[Listed]) -> Details | None:
        chosen = choose(jobs)
        return None if chosen is None else await details.details(self._database, chosen.id)

    async def _tenant(self, ticket_id: str) -> str | None:
        known = [tenant.id for tenant in self._tenants.all()]
        owners = await owners_of(self._database, known, ticket_id)
        if len(owners) > 1:
            raise AmbiguousTenantError(sorted(owners))
        return owners.pop() if owners else known[0] if len(known) == 1 else None

    async def _current(self, facts: Facts, jobs: Sequence[Listed]) -> Facts:
        tenant_id, database = facts.tenant_id, self._database
        tenant = self._tenants.get(tenant_id) if tenant_id else None
        rows = asyncio.gather(
            within(statistics.worker_activity(database)),
            within(statistics.held_back_of(database, tenant_id) if tenant_id else asyncio.sleep(0)),
            within(self._limit_reached(tenant) if tenant else asyncio.sleep(0)),
            within(self._held_elsewhere(tenant) if tenant else asyncio.sleep(0)),
        )
        others = asyncio.gather(
            queue_activity(self._redis, STORE_SECONDS),
            within(_inbox(self._redis, facts) if not jobs else asyncio.sleep(0)),
            self._probes.desk(tenant_id, sought_of(facts.ticket_id, facts.job)),
            self._probes.model(tenant_id),
        )
        work, held, at_limit, held_elsewhere = await rows
        (queue, failure), inbox, desk, model = await others
        if tenant is not None:
            facts = replace(
                facts,
                tenant_closed=not (tenant.usable or tenant.accepts_webhooks),
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
        running = await details.listed(self._database, tenant_id=tenant.id, states=[JobState.RUNNING], most=most)
        return most if len(running) >= most else None

    async def _held_elsewhere(self, tenant: Tenant) -> dict[str, datetime]:
        """Return the last model hold of tenants that share the key, by reason."""
        if not self._tenants.process_key("OPENAI_API_KEY"):
            return {}  # tenants with a key of their own can't be recognised
        shared = [each for each in self._tenants.all() if not (each.model.api_key or each.model.withdrawn)]
        same = {each.id for each in shared if each.model.model == tenant.model.model}
        sharing = same - {tenant.id} if tenant.id in same else set()
        held_back = await statistics.jobs_held_back(self._database) if sharing else {}
        others = {other for other, reason in held_back if other in sharing and reason in _MODEL_HOLDS}
        holds: dict[str, datetime] = {}
        for other in sorted(others)[:_MAX_SHARING]:
            for reason, held in (await statistics.held_back_of(self._database, other)).items():
                if reason in _MODEL_HOLDS:
                    holds[reason] = max(held.last_at, holds.get(reason, held.last_at))
        return holds

    async def _of_rows(self, facts: Facts, jobs: Sequence[Listed]) -> Facts:
        job, tenant_id, database = facts.job, facts.tenant_id, self._database
        numbers = {facts.ticket_id, *facts.desk.numbers}
        if job is not None:
            numbers |= {number for number in (job.ticket_id, job.desk_id, job.display_id) if number}
        if tenant_id is not None:
            webhooks, missing, forgotten, events = await asyncio.gather(
                within(rejections.receiving(database, tenant_id, sorted(numbers))),
                within(seen_without_webhook(database, tenant_id, sorted(numbers))),
                within(forgotten_among(database, tenant_id, numbers)) if job is None else asyncio.sleep(0),
                within(details.events(database, job)) if job is not None else asyncio.sleep(0),
            )
            facts = replace(facts, webhooks=webhooks, missing=missing, forgotten=bool(forgotten))
            if job is not None:
                facts = replace(facts, read_at=job.read_at, events=events)
        return replace(facts, others=[other for other in jobs if job is None or other.id != job.id])


async def owners_of(database: Database, known: Sequence[str], ticket_id: str) -> set[str]:
    """Return tenants with a job of the ticket, or `known` with a webhook record."""
    owners = set(await details.owners(database, ticket_id))

    async def add_others() -> None:
        for tenant_id in known[:_MAX_TENANTS]:
            if tenant_id not in owners and await rejections.has_webhook_record(database, tenant_id, ticket_id):
                owners.add(tenant_id)

    await within(add_others())
    return owners


async def _inbox(redis: Redis | None, facts: Facts) -> Event | None:
    if redis is None or facts.tenant_id is None:
        return None
    events = await Inbox(redis).of_tenant(facts.tenant_id)
    return next((event for event in events if event.ticket_id == facts.ticket_id), None)


async def within(part: Awaitable[Part]) -> Part | None:
    """Return the result, or None on failure or after STORE_SECONDS."""
    try:
        async with asyncio.timeout(STORE_SECONDS):
            return await part
    except (*DATABASE_FAILURES, RedisError, OSError, TimeoutError, QueueUnavailableError):
        return None
