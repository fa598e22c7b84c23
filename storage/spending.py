"""Model spending by tenant and UTC day, of all workers together.

Paid calls are noted in the process at once, and one task adds them to the table, so jobs do not wait. It retries while
the database is away. A killed process loses its unwritten part; a commit whose answer was lost is counted twice.
"""

import asyncio
from collections.abc import Callable
from contextvars import Context
from datetime import UTC, date, datetime

from sqlalchemy import text

from integrations.values import Spent
from observability import phrases, tracing
from observability.logging import say
from storage.session import DATABASE_FAILURES, Database, is_away

_READ_SECONDS = 2.0
_CLOSE_SECONDS = 2.0
_PAUSE_SECONDS = 1.0
_NOTHING = Spent()
_ADD = text("""
    INSERT INTO spending AS s (tenant_id, day, tokens, dollars) VALUES (:tenant, :day, :tokens, :dollars)
    ON CONFLICT (tenant_id, day)
    DO UPDATE SET tokens = s.tokens + excluded.tokens, dollars = s.dollars + excluded.dollars
    RETURNING tokens, dollars
""")
_SPENT = text("SELECT tokens, dollars FROM spending WHERE day = :day")
_PURGE = text("DELETE FROM spending WHERE day <= current_date - CAST(:days AS integer)")


class SpendingBook:
    """Spending known to one process, by its clock; `close()` it before the database."""

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
        self._unwritten[key] = self._unwritten.get(key, _NOTHING).plus(spent)
        if self._writing is None or self._writing.done():
            # A separate context: it also writes other jobs' spending.
            self._writing = asyncio.create_task(self._write(), context=Context())

    def known(self, tenant_id: str) -> Spent:
        today = self._now().date()
        day, total = self._known.get(tenant_id, (today, _NOTHING))
        unwritten = self._unwritten.get((tenant_id, today), _NOTHING)
        return (total if day == today else _NOTHING).plus(unwritten)

    async def read(self, tenant_id: str) -> Spent:
        """Return today's spending of all workers; the known part if the database fails."""
        today = self._now().date()
        try:
            with tracing.untraced():
                async with asyncio.timeout(_READ_SECONDS):
                    (rows,) = await self._database.call_as(tenant_id, _SPENT, day=today)
        except (*DATABASE_FAILURES, TimeoutError):
            return self.known(tenant_id)
        told = Spent(**rows[0]) if rows else _NOTHING
        day, known = self._known.get(tenant_id, (today, _NOTHING))
        # Values written during the read are known already; a day's sum only grows.
        self._known[tenant_id] = today, told.at_least(known) if day == today else told
        return self.known(tenant_id)

    async def close(self) -> None:
        if self._writing is not None:
            await asyncio.wait({self._writing}, timeout=_CLOSE_SECONDS)
            self._writing.cancel()

    async def _write(self) -> None:
        with tracing.untraced():
            while self._unwritten:
                key, spent = next(iter(self._unwritten.items()))
                try:
                    total = await _add(self._database, *key, spent)
                except DATABASE_FAILURES as failure:
                    if not is_away(failure):
                        say(phrases.DATABASE_UNREACHABLE, reason="spending not written", failure=failure)
                        return  # retried with the next paid call
                    await asyncio.sleep(self._pause)
                    continue
                left = self._unwritten.pop(key)
                if left != spent:
                    more = Spent(left.tokens - spent.tokens, left.dollars - spent.dollars)
                    self._unwritten[key] = more
                self._known[key[0]] = key[1], total


async def _add(database: Database, tenant_id: str, day: date, spent: Spent) -> Spent:
    ((total,),) = await database.call_as(tenant_id, _ADD, day=day, tokens=spent.tokens, dollars=spent.dollars)
    return Spent(**total)


async def purge(database: Database, tenant_id: str, days: int) -> None:
    await database.call_as(tenant_id, _PURGE, days=days)
