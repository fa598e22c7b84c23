"""Gathering of a ticket's facts from stores, desk and model, each with a timeout.

A source that fails or times out is not checked; the verdict rests on the others.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Literal, NamedTuple, TypeVar

from redis.asyncio import Redis
from redis.exceptions import RedisError

from config.tenant_directory import TenantDirectory
from config.tenants import Tenant
from dispatch.inbox import Inbox
from dispatch.queue import QueueUnreachable
from integrations.resilience import HoldReason
from storage import by_hand, job_figures, rejections, signs
from storage.by_hand import Details, Happened, Listed
from storage.jobs import Event
from storage.models import JobState
from storage.reconcile_findings import seen_without_webhook
from storage.session import DATABASE_FAILURES, Database
from storage.tombstones import forgotten_among
from support.diagnose.choosing import AskedAbout, SeveralTenants, TenantNotKnown, choose, choose_after_removal, jobs_of
from support.diagnose.facts import Facts, QueueSigns
from support.diagnose.outside import Outside
from support.diagnose.queue_looks import look_at_queue

STORE_SECONDS = 0.5
_JOB_SECONDS = 1.0
_MOST_TENANTS = 200
_MOST_SHARING = 5
_MODEL_HOLDS = frozenset(HoldReason)

Part = TypeVar("Part")


class _Story(NamedTuple):
    tenant_id: str | None
    ticket_id: str
    jobs: Sequence[Listed]
    job: Details | None


class Gatherer:
    """Gathers facts; `redis` is None without an address."""

    def __init__(self, database: Database, redis: Redis | None, tenants: TenantDirectory, outside: Outside) -> None:
        self._database = database
        self._redis = redis
        self._tenants = tenants
        self._outside = outside

    async def facts(self, asked: AskedAbout) -> Facts | None:
        """Return the facts; None if there is no such job.

        Raises SeveralTenants or TenantNotKnown, and TimeoutError or one of DATABASE_FAILURES if the jobs can't be
        read.
        """
        async with asyncio.timeout(_JOB_SECONDS):
            story = await self._story(asked)
        if story is None:
            return None
        tenant_id, ticket_id, jobs, job = story
        facts = await self._around(Facts(datetime.now(UTC), tenant_id, ticket_id, job=job), jobs)
        other = next((number for number in facts.desk.numbers if number != ticket_id), None)
        if job is None and other is not None:
            # A webhook may have named the ticket's other number, which no job has revealed yet.
            jobs = await within(self._jobs(tenant_id, other)) or []
            facts = replace(facts, job=await within(self._details(jobs)))
        if asked.job_id is None:
            facts = await self._after_removal(facts, jobs)
        return await self._of_rows(facts, jobs)

    async def _story(self, asked: AskedAbout) -> _Story | None:
        if asked.job_id is not None:
            job = await by_hand.details(self._database, asked.job_id)
            if job is None or asked.tenant_id not in (None, job.tenant_id):
                return None
            return _Story(job.tenant_id, job.ticket_id, await self._jobs(job.tenant_id, job.ticket_id), job)
        ticket_id = asked.ticket_id or ""
        tenant_id = asked.tenant_id or await self._tenant(ticket_id)
        jobs = await self._jobs(tenant_id, ticket_id)
        known = [tenant.id for tenant in self._tenants.all()]
        if tenant_id is not None and known and not jobs and not self._tenants.names(tenant_id):
            raise TenantNotKnown(known)
        return _Story(tenant_id, ticket_id, jobs, await self._details(jobs))

    async def _after_removal(self, facts: Facts, jobs: Sequence[Listed]) -> Facts:
        """Switch to the job of a further note if the earlier note was removed."""
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
        """Return the ticket's tenant by jobs, refused webhooks and desk lists, or None.

        Raises SeveralTenants.
        """
        known = [tenant.id for tenant in self._tenants.all()]
        owners = set(await by_hand.owners(self._database, ticket_id))
        await within(self._add_heard_of(owners, known[:_MOST_TENANTS], ticket_id))
        if len(owners) > 1:
            raise SeveralTenants(sorted(owners))
        return owners.pop() if owners else known[0] if len(known) == 1 else None

    async def _add_heard_of(self, owners: set[str], known: Sequence[str], ticket_id: str) -> None:
        """Add tenants that have the ticket without a job, until the timeout."""
        for tenant in known:
            if tenant not in owners and await rejections.is_heard_of(self._database, tenant, ticket_id):
                owners.add(tenant)

    async def _around(self, facts: Facts, jobs: Sequence[Listed]) -> Facts:
        tenant = self._tenants.get(facts.tenant_id) if facts.tenant_id else None
        rows = asyncio.gather(
            within(signs.signs_of_work(self._database)),
            _nothing()
            if facts.tenant_id is None
            else within(job_figures.held_back_of(self._database, facts.tenant_id)),
            within(self._limit_reached(tenant)),
            _nothing() if tenant is None else within(self._held_elsewhere(tenant)),
        )
        others = asyncio.gather(
            self._queue(),
            within(self._inbox(facts)) if self._redis is not None and not jobs else _nothing(),
            self._outside.desk(facts.tenant_id, facts.ticket_id, facts.job),
            self._outside.model(facts.tenant_id),
        )
        work, held, at_limit, held_elsewhere = await rows
        queue, inbox, desk, model = await others
        closed = None if tenant is None else not (tenant.usable or tenant.opens_webhook)
        return replace(
            facts,
            tenant_closed=closed,
            reconcile=_reconcile(tenant),
            has_rules=tenant is not None and bool(tenant.rules.only or tenant.rules.never),
            work=work,
            held=held or {},
            held_elsewhere=held_elsewhere or {},
            queue=queue[0],
            queue_failure=queue[1],
            inbox=inbox,
            most_running=at_limit,
            desk=desk,
            model=model,
        )

    async def _limit_reached(self, tenant: Tenant | None) -> int | None:
        most = None if tenant is None else tenant.share.most_running
        if tenant is None or most is None:
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

    async def _queue(self) -> tuple[QueueSigns | None, str]:
        """Return the queue's state, or the failure; neither without an address."""
        if self._redis is None:
            return None, ""
        return await look_at_queue(self._redis, STORE_SECONDS)

    async def _inbox(self, facts: Facts) -> Event | None:
        if self._redis is None or facts.tenant_id is None:
            return None
        events = await Inbox(self._redis).of_tenant(facts.tenant_id)
        return next((event for event in events if event.ticket_id == facts.ticket_id), None)

    async def _of_rows(self, facts: Facts, jobs: Sequence[Listed]) -> Facts:
        job = facts.job
        numbers = {facts.ticket_id, *facts.desk.numbers}
        if job is not None:
            numbers |= {number for number in (job.ticket_id, job.desk_id, job.display_id) if number}
        webhooks, missing, forgotten, events = await asyncio.gather(
            _nothing()
            if facts.tenant_id is None
            else within(rejections.receiving(self._database, facts.tenant_id, sorted(numbers))),
            _nothing()
            if facts.tenant_id is None
            else within(seen_without_webhook(self._database, facts.tenant_id, sorted(numbers))),
            _nothing()
            if facts.tenant_id is None or job is not None
            else within(forgotten_among(self._database, facts.tenant_id, numbers)),
            _no_events() if job is None else within(by_hand.events(self._database, job)),
        )
        others = [other for other in jobs if job is None or other.id != job.id]
        now = facts.asked_at if job is None else job.asked_at
        return replace(
            facts,
            asked_at=now,
            webhooks=webhooks,
            missing=missing,
            forgotten=bool(forgotten),
            events=events,
            others=others,
        )


def _reconcile(tenant: Tenant | None) -> Literal["report", "on", "poll"] | None:
    if tenant is None:
        return None
    return "poll" if tenant.polled else "on" if tenant.recovers else "report"


async def within(part: Awaitable[Part]) -> Part | None:
    """Return a store's answer; None if it fails or takes longer than STORE_SECONDS."""
    try:
        async with asyncio.timeout(STORE_SECONDS):
            return await part
    except (*DATABASE_FAILURES, RedisError, OSError, TimeoutError, QueueUnreachable):
        return None


async def _nothing() -> None:
    """Return None for a part that is not queried."""


async def _no_events() -> list[Happened]:
    return []
