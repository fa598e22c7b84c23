"""What each tenant's jobs have spent on the model by day (UTC), of all workers together.

It is written beside the jobs, never in their way: each paid call is noted at once in the process, and one task adds it
to the table. While the database is away that goes on being tried; what a process had not written when it was killed is
not counted, and what was committed while the answer to that was lost is counted twice.
"""

import asyncio
from collections.abc import Callable
from contextvars import Context
from datetime import UTC, date, datetime

from sqlalchemy import delete, func, select, text

from integrations.values import Spent
from observability import phrases, tracing
from observability.logging import say
from storage.models import Spending
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


def _now() -> datetime:
    return datetime.now(UTC)


class SpendingBook:
    """What one process knows of it; `close()` it before the database.

    The day is that of this process's clock.
    """

    def __init__(
        self, database: Database, now: Callable[[], datetime] = _now, *, pause_seconds: float = _PAUSE_SECONDS
    ) -> None:
        self._database = database
        self._pause = pause_seconds
        self._now = now
        self._known: dict[str, tuple[date, Spent]] = {}
        self._unwritten: dict[tuple[str, date], Spent] = {}
        self._writing: asyncio.Task[None] | None = None

    def paid(self, tenant_id: str, spent: Spent) -> None:
        """Note what one call has cost."""
        key = (tenant_id, self._now().date())
        self._unwritten[key] = self._unwritten.get(key, _NOTHING).plus(spent)
        if self._writing is None or self._writing.done():
            # Of no job: it writes what others have paid, too.
            self._writing = asyncio.create_task(self._write(), context=Context())

    def known(self, tenant_id: str) -> Spent:
        """Return what was spent today, as far as this process has heard."""
        today = self._now().date()
        day, total = self._known.get(tenant_id, (today, _NOTHING))
        unwritten = self._unwritten.get((tenant_id, today), _NOTHING)
        return (total if day == today else _NOTHING).plus(unwritten)

    async def read(self, tenant_id: str) -> Spent:
        """Return what was spent today by all workers; what is known of it, where the database does not say."""
        today = self._now().date()
        mine = (Spending.tenant_id == tenant_id, Spending.day == today)
        try:
            with tracing.untraced():
                async with asyncio.timeout(_READ_SECONDS), self._database.tenant(tenant_id) as session:
                    row = (await session.execute(select(Spending.tokens, Spending.dollars).where(*mine))).one_or_none()
        except (*DATABASE_FAILURES, TimeoutError):
            return self.known(tenant_id)
        told = _NOTHING if row is None else Spent(row.tokens, row.dollars)
        day, known = self._known.get(tenant_id, (today, _NOTHING))
        # What was written while this was read is known already; a day's sum only grows.
        self._known[tenant_id] = today, told.at_least(known) if day == today else told
        return self.known(tenant_id)

    async def close(self) -> None:
        """Write what is left, within seconds."""
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
                        return  # it is tried again with the next paid call
                    await asyncio.sleep(self._pause)
                    continue
                left = self._unwritten.pop(key)
                if left != spent:
                    more = Spent(left.tokens - spent.tokens, left.dollars - spent.dollars)
                    self._unwritten[key] = more
                self._known[key[0]] = key[1], total


async def _add(database: Database, tenant_id: str, day: date, spent: Spent) -> Spent:
    """Add to what was spent on a day, and return the sum: of all workers, each of which adds its part."""
    ((total,),) = await database.call_as(tenant_id, _ADD, day=day, tokens=spent.tokens, dollars=spent.dollars)
    return Spent(**total)


async def purge(database: Database, tenant_id: str, days: int) -> None:
    """Remove what a tenant spent so many days ago, or before. Raises one of DATABASE_FAILURES."""
    async with database.tenant(tenant_id) as session:
        await session.execute(delete(Spending).where(Spending.day <= func.current_date() - days))
