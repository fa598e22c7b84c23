"""Purge by age: texts first, whole rows later, in short transactions."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple, TypeVar

from sqlalchemy import text

from config.settings import HousekeepingSettings
from config.tenant_directory import TenantDirectory
from db.session import DATABASE_FAILURES, Database, is_away, is_locked
from integrations.llm import spending
from observability import log_events, metrics, tracing
from observability.health import Rounds
from observability.logging import log_event
from privacy import audit

Result = TypeVar("Result")
_BATCH = 500
# Timeout of one batch, longer than the server's timeout of its statement.
_BATCH_SECONDS = 40.0
_INTERVAL_SECONDS = 3600.0
_FIRST_SECONDS = 5.0
# A request times out after 10 s; the driver then needs time to cancel it.
_REPLY_SECONDS = 30.0
_REMOVED_SECONDS = 1800.0


class HourlyPurge:
    """Purges by age once an hour; the watchdog observes `progress`."""

    def __init__(
        self, settings: HousekeepingSettings, tenants: TenantDirectory, database: Database, progress: Rounds
    ) -> None:
        self.progress = progress
        self._settings = settings
        self._tenants = tenants
        self._database = database
        self._removed = RemovedTenants(tenants.names)
        # Kept when the lead is lost: otherwise a flapping lead would postpone the purge for ever.
        self._next_at: float | None = None

    async def run(self, check_lead: Callable[[], Awaitable[None]]) -> None:
        self._next_at = self._next_at or time.monotonic() + _FIRST_SECONDS
        while True:
            pause = max(0.0, self._next_at - time.monotonic())
            self.progress.next_within(pause)
            await asyncio.sleep(pause)
            self.progress.next_within(_REPLY_SECONDS)
            await check_lead()
            await self._purge()
            self._next_at = time.monotonic() + _INTERVAL_SECONDS

    async def _purge(self) -> None:
        with tracing.untraced():
            purged = await purge_by_age(
                self._database,
                text_days=self._settings.keep_text_days,
                job_days=self._settings.keep_jobs_days,
                audit_days={tenant.id: tenant.audit_days if tenant.usable else None for tenant in self._tenants.all()},
                has_left=self._removed.has_left,
                before_each=lambda: self.progress.next_within(_BATCH_SECONDS + _REPLY_SECONDS),
                on_failure=lambda kind, failure: log_event(
                    log_events.PURGE_FAILED, part=kind, reason="refused by the database", failure=failure
                ),
            )
        metrics.purged(**purged._asdict())
        if any(purged):
            log_event(log_events.PURGED, purged._asdict())


class RemovedTenants:
    """Tenants whose settings have been missing for half an hour.

    The time starts with the first call of `has_left` that finds none. `names` returns True if a tenant has a setting,
    usable or not, or if that is unknown.
    """

    def __init__(self, names: Callable[[str], bool], *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._names = names
        self._monotonic = monotonic
        self._missing_since: dict[str, float] = {}

    def has_left(self, tenant_id: str) -> bool:
        if self._names(tenant_id):
            self._missing_since.pop(tenant_id, None)
            return False
        now = self._monotonic()
        return now - self._missing_since.setdefault(tenant_id, now) >= _REMOVED_SECONDS


class Purged(NamedTuple):
    """Number of purged rows; listings, spending and audit records are not counted."""

    answers: int
    copies: int
    jobs: int


async def purge_by_age(
    database: Database,
    *,
    text_days: int,
    job_days: int,
    audit_days: Mapping[str, int | None],
    has_left: Callable[[str], bool] = lambda _: False,
    batch: int = _BATCH,
    before_each: Callable[[], None] = lambda: None,
    on_failure: Callable[[str, Exception], None],
) -> Purged:
    """Delete expired data of all tenants, in batches.

    GPT-4's answers are deleted `text_days` after their job's end, copies `text_days` after the desk last showed them,
    and jobs and daily spending after `job_days`. Unfinished jobs keep everything.

    `audit_days`: tenant id -> retention of audit records, None if unknown (nothing is deleted). Records of a tenant
    that is not in it are deleted if `has_left` returns True.

    `before_each` is called before each batch, `on_failure` with each kind ("answers", "tickets") that the database
    refuses to purge. Raises one of DATABASE_FAILURES, or TimeoutError, if the database is away; completed batches stay
    purged.
    """

    @contextmanager
    def isolated(kind: str) -> Iterator[None]:
        try:
            yield
        except DATABASE_FAILURES as failure:
            if is_away(failure) and not is_locked(failure):
                raise
            on_failure(kind, failure)

    async def in_time(call: Awaitable[Result]) -> Result:
        before_each()
        async with asyncio.timeout(_BATCH_SECONDS):
            return await call

    async def in_batches(kind: str, one: Callable[[], Awaitable[int | None]]) -> int:
        purged, count = 0, batch
        with isolated(kind):
            while count == batch:
                found = await in_time(one())
                count = found or 0
                purged += count
        return purged

    async def purge(kind: str, days: int) -> int:
        question = text(f"SELECT purge_{kind}(:days, :most)")
        return await in_batches(kind, partial(database.call_for_one, question, days=days, most=batch))

    answers = await purge("answers", text_days)
    copies = await purge("tickets", text_days) + await purge("passages", text_days)
    await purge("listings", text_days)
    for tenant_id in audit_days:
        await in_batches("spending", partial(spending.purge, database, tenant_id, job_days))
    kept_days = {tenant_id: days for tenant_id, days in audit_days.items() if days is not None}
    with isolated("audit records"):
        others = [tenant_id for tenant_id in await in_time(audit.tenants(database)) if tenant_id not in audit_days]
        kept_days |= dict.fromkeys(filter(has_left, others), 0)
    for tenant_id, days in kept_days.items():
        await in_batches("audit records", partial(audit.purge, database, tenant_id, days, batch))
    return Purged(answers, copies, await purge("jobs", job_days))
