"""Spending of each tenant, and its daily (UTC) limit, past which its jobs wait.

The limit is checked before a call; each job in flight may pay for one more answer, its repair and its check.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Protocol

from sqlalchemy import text

from config.tenant_directory import TenantDirectory
from config.tenants import ModelSettings
from db.session import DATABASE_FAILURES, Database, is_away
from integrations.errors import DeferredError
from integrations.values import Usage
from observability import log_events, metrics, tracing
from observability.logging import log_event

SPENDING_LIMIT = "spending limit of today reached"
# A held job checks after this time whether the limit was raised.
_MAX_HOLD_SECONDS = 3600.0
_READ_SECONDS = 2.0
_CLOSE_SECONDS = 2.0
_PAUSE_SECONDS = 1.0
# Calls of this time are written together: a job pays twice, for its answer and the check of its claims.
_GATHER_SECONDS = 0.25
_ADD = text("""
    INSERT INTO spending AS s (tenant_id, day, tokens, dollars) VALUES (:tenant, :day, :tokens, :dollars)
    ON CONFLICT (tenant_id, day)
    DO UPDATE SET tokens = s.tokens + excluded.tokens, dollars = s.dollars + excluded.dollars
    RETURNING tokens, dollars
""")
_SPENT = text("SELECT tokens, dollars FROM spending WHERE day = :day")
_PURGE = text("DELETE FROM spending WHERE day <= current_date - CAST(:days AS integer)")


@dataclass(frozen=True, slots=True)
class Spent:
    """The cost of a tenant's jobs."""

    tokens: int = 0
    dollars: float = 0.0

    def plus(self, other: "Spent") -> "Spent":
        return Spent(self.tokens + other.tokens, self.dollars + other.dollars)


class SpendingBook:
    """Spending in the database; `close()` it before the database."""

    def __init__(
        self,
        database: Database,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        *,
        pause_seconds: float = _PAUSE_SECONDS,
    ) -> None:
        self._database = database
        self._pause = pause_seconds
        self._now = now
        self._known: dict[str, tuple[date, Spent]] = {}
        self._unwritten: dict[tuple[str, date], Spent] = {}
        self._writing: asyncio.Task[None] | None = None

    def paid(self, tenant_id: str, spent: Spent) -> None:
        key = (tenant_id, self._now().date())
        self._unwritten[key] = self._unwritten.get(key, Spent()).plus(spent)
        if self._writing is None or self._writing.done():
            # A context of its own: it also writes other jobs' spending.
            self._writing = asyncio.create_task(self._write(), context=Context())

    def known(self, tenant_id: str) -> Spent:
        today = self._now().date()
        return self._stored(tenant_id, today).plus(self._unwritten.get((tenant_id, today), Spent()))

    def _stored(self, tenant_id: str, today: date) -> Spent:
        day, total = self._known.get(tenant_id, (today, Spent()))
        return total if day == today else Spent()

    async def read(self, tenant_id: str) -> Spent:
        """Return today's spending of all workers; the known part if the database fails."""
        today = self._now().date()
        with suppress(*DATABASE_FAILURES, TimeoutError), tracing.untraced():
            async with asyncio.timeout(_READ_SECONDS):
                (rows,) = await self._database.call_as(tenant_id, _SPENT, day=today)
            stored, known = Spent(**rows[0]) if rows else Spent(), self._stored(tenant_id, today)
            # Values written during the read are known already; a day's sum only grows.
            total = Spent(max(stored.tokens, known.tokens), max(stored.dollars, known.dollars))
            self._known[tenant_id] = today, total
        return self.known(tenant_id)

    async def close(self) -> None:
        """Wait up to 2 s for unwritten spending, then drop it."""
        if self._writing is not None:
            await asyncio.wait({self._writing}, timeout=_CLOSE_SECONDS)
            self._writing.cancel()

    async def _write(self) -> None:
        with tracing.untraced():
            await asyncio.sleep(_GATHER_SECONDS)
            while self._unwritten:
                key, spent = next(iter(self._unwritten.items()))
                values = {"day": key[1], "tokens": spent.tokens, "dollars": spent.dollars}
                try:
                    ((total,),) = await self._database.call_as(key[0], _ADD, **values)
                except DATABASE_FAILURES as failure:
                    if not is_away(failure):
                        log_event(log_events.DATABASE_UNREACHABLE, reason="spending not written", failure=failure)
                        return  # retried with the next paid call
                    await asyncio.sleep(self._pause)
                    continue
                unwritten = self._unwritten.pop(key)
                if unwritten != spent:
                    self._unwritten[key] = unwritten.plus(Spent(-spent.tokens, -spent.dollars))
                self._known[key[0]] = key[1], Spent(**total)


async def purge(database: Database, tenant_id: str, days: int) -> None:
    """Delete a tenant's spending of days older than `days`."""
    await database.call_as(tenant_id, _PURGE, days=days)


class Book(Protocol):
    """Today's spending per tenant, by call, process and in all. No method raises."""

    def paid(self, tenant_id: str, spent: Spent) -> None:
        """Add the cost of a call to today's spending, without waiting for a write."""

    def known(self, tenant_id: str) -> Spent:
        """Return today's spending as this process knows it."""

    async def read(self, tenant_id: str) -> Spent:
        """Return today's spending of all workers, as far as it can be read."""


class SpendingLimits:
    """The limits of all tenants, by their current settings."""

    def __init__(
        self, tenants: TenantDirectory, book: Book, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._tenants = tenants
        self._book = book
        self._now = now
        self._reached: set[str] = set()
        self._unreported: set[str] = set()
        # Dollars per token of the tenant's last call that reported both.
        self._price: dict[str, float] = {}
        metrics.SPENDING_USED.callback = self._used_shares

    def check(self, tenant_id: str) -> None:
        """Raise DeferredError if the known spending reached a limit of today."""
        self._check_limit(tenant_id, self._book.known(tenant_id))

    async def check_fresh(self, tenant_id: str) -> None:
        """Check the spending of all workers. Raises DeferredError as `check` does."""
        limits = self._limits(tenant_id)
        if limits.daily_tokens is not None or limits.daily_dollars is not None:
            self._check_limit(tenant_id, await self._book.read(tenant_id))

    def paid(self, tenant_id: str, usage: Usage) -> None:
        """Record a paid call, by estimate if broken; log an unreported cost once."""
        tokens = usage.input_tokens + usage.output_tokens
        if usage.estimated:
            self._book.paid(tenant_id, Spent(tokens, tokens * self._price.get(tenant_id, 0.0)))
            return
        if usage.cost is not None and tokens:
            self._price[tenant_id] = usage.cost / tokens
        self._book.paid(tenant_id, Spent(tokens, usage.cost or 0.0))
        limits = self._limits(tenant_id)
        for limit, unreported, unit in (
            (limits.daily_tokens, not tokens, "tokens"),
            (limits.daily_dollars, usage.cost is None, "dollars"),
        ):
            if limit is not None and unreported and tenant_id not in self._unreported:
                self._unreported.add(tenant_id)
                log_event(log_events.SPENDING_UNTOLD, tenant_id=tenant_id, unit=unit)

    def _limits(self, tenant_id: str) -> ModelSettings:
        tenant = self._tenants.get(tenant_id)
        return ModelSettings() if tenant is None else tenant.model

    def _check_limit(self, tenant_id: str, spent: Spent) -> None:
        if _used(self._limits(tenant_id), spent) < 1:
            self._reached.discard(tenant_id)
            return
        if tenant_id not in self._reached:
            self._reached.add(tenant_id)
            dollars = f"{spent.dollars:.2f}"
            log_event(log_events.SPENDING_LIMIT_REACHED, tenant_id=tenant_id, tokens=spent.tokens, dollars=dollars)
        now = self._now()
        tomorrow = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
        raise DeferredError(SPENDING_LIMIT, min(_MAX_HOLD_SECONDS, (tomorrow - now).total_seconds() + 1))

    def _used_shares(self) -> dict[str, float]:
        return {
            tenant.id: _used(tenant.model, self._book.known(tenant.id))
            for tenant in self._tenants.all()
            if tenant.model.daily_tokens is not None or tenant.model.daily_dollars is not None
        }


def _used(limits: ModelSettings, spent: Spent) -> float:
    tokens = spent.tokens / limits.daily_tokens if limits.daily_tokens else 0.0
    dollars = spent.dollars / limits.daily_dollars if limits.daily_dollars else 0.0
    return max(tokens, dollars)
