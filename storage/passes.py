"""Progress and lease of a desk's copying, from which an interrupted sync resumes."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import text

from storage.listings import Collection
from storage.session import DATABASE_FAILURES, Database

_LOAD = text("""
    SELECT now() AS now, p.began_at, coalesce(p.next_start, 1) AS next_start, p.last_created,
           coalesce(p.in_order, true) AS in_order, p.complete_from, p.complete_at, p.ended_at,
           coalesce(p.missing, 0) AS missing, p.changes_until, coalesce(p.rules, '') AS rules
    FROM (SELECT) one LEFT JOIN passes p ON p.collection = :collection
""")
_SAVE = text("""
    INSERT INTO passes (tenant_id, collection, began_at, next_start, last_created, in_order, complete_from,
                        complete_at, ended_at, missing, changes_until, rules)
    SELECT current_setting('app.tenant_id'), :collection, :began_at, :next_start, :last_created, :in_order,
           :complete_from, :complete_at, :ended_at, :missing, :changes_until, :rules
    FROM passes held WHERE held.collection = 't' AND held.held_by = :holder
    ON CONFLICT (tenant_id, collection) DO UPDATE SET began_at = excluded.began_at, next_start = excluded.next_start,
        last_created = excluded.last_created, in_order = excluded.in_order, complete_from = excluded.complete_from,
        complete_at = excluded.complete_at, ended_at = excluded.ended_at, missing = excluded.missing,
        changes_until = excluded.changes_until, rules = excluded.rules
""")
_HOLD = text("""
    INSERT INTO passes AS p (tenant_id, collection, held_by, held_until)
    VALUES (current_setting('app.tenant_id'), 't', :holder, now() + make_interval(secs => :seconds))
    ON CONFLICT (tenant_id, collection) DO UPDATE
        SET held_by = excluded.held_by, held_until = excluded.held_until
        WHERE p.held_by IS NOT DISTINCT FROM excluded.held_by OR coalesce(p.held_until < now(), true)
    RETURNING 1
""")
_FREE = text("UPDATE passes SET held_by = NULL, held_until = NULL WHERE collection = 't' AND held_by = :holder")


class HeldByAnother(Exception):
    """Another process is copying this desk."""


@dataclass(frozen=True, slots=True)
class PassState:
    """The row of one collection (`storage.copies.Pass`) and the database's time."""

    now: datetime
    began_at: datetime | None
    next_start: int
    last_created: datetime | None
    in_order: bool
    complete_from: datetime | None
    complete_at: datetime | None
    ended_at: datetime | None
    missing: int
    changes_until: datetime | None
    rules: str

    def begun(self) -> "PassState":
        return replace(self, began_at=self.now, next_start=1, last_created=None, in_order=True)

    def ended(self, missing: int | None = None) -> "PassState":
        if missing is None:
            return replace(self, began_at=None, ended_at=self.now)
        ended = replace(self, began_at=None, ended_at=self.now, missing=missing)
        return replace(ended, complete_from=self.began_at, complete_at=self.now)


async def load(database: Database, tenant_id: str, collection: Collection) -> PassState:
    ((row,),) = await database.call_as(tenant_id, _LOAD, collection=collection)
    return PassState(**row)


async def save(database: Database, tenant_id: str, collection: Collection, state: PassState, holder: UUID) -> None:
    values = {name: getattr(state, name) for name in PassState.__dataclass_fields__ if name != "now"}
    await database.call_as(tenant_id, _SAVE, collection=collection, holder=holder, **values)


class Holder:
    """A holder of a desk, by `id` in its row."""

    def __init__(self, database: Database, tenant_id: str, seconds: float) -> None:
        self.id = uuid4()
        self._database = database
        self._tenant_id = tenant_id
        self._seconds = seconds
        self._renew_at = 0.0

    async def insist(self) -> None:
        """Renew the hold after half its time. Raises HeldByAnother."""
        if time.monotonic() < self._renew_at:
            return
        values = {"holder": self.id, "seconds": self._seconds}
        (rows,) = await self._database.call_as(self._tenant_id, _HOLD, **values)
        if not rows:
            raise HeldByAnother
        self._renew_at = time.monotonic() + self._seconds / 2


@asynccontextmanager
async def held(database: Database, tenant_id: str, seconds: float) -> AsyncIterator[Holder]:
    """Hold this desk for the block; call `insist` at least every `seconds` / 2.

    Raises HeldByAnother if another process holds it, or has taken it since. It may after `seconds`, so a killed process
    does not block longer.
    """
    holder = Holder(database, tenant_id, seconds)
    await holder.insist()
    try:
        yield holder
    finally:
        # Without the database the hold expires by itself.
        with suppress(*DATABASE_FAILURES):
            await database.call_as(tenant_id, _FREE, holder=holder.id)
