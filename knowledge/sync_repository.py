"""Rows of the sync: listed items, passes over lists, and the desk's lease.

A pass reads a list (`t`: tickets, `p`: solutions, with their passages) from its first page to its end. An item is
stored as its id and a hash of its list values; only the copy has its text.
"""

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, NamedTuple
from uuid import UUID, uuid4

from psycopg.types.json import Jsonb
from sqlalchemy import text

from db.session import DATABASE_FAILURES, Database
from privacy import tombstones

Collection = Literal["t", "p"]
COLLECTIONS: tuple[Collection, ...] = ("t", "p")
# Items deleted per transaction: a solution has up to twenty passages.
_ROWS_AT_ONCE: Mapping[Collection, int] = {"t": 100, "p": 5}
_COPIES = {"t": ("tickets", "ticket_id"), "p": ("passages", "source_id")}

# `to_read` gets no future time here, even if the desk's clock is ahead, but a postponed item stays postponed. An item
# that is read again only because its list values are incomplete comes last.
_RECORD_LISTED = text("""
    WITH told AS (
        SELECT r.id, encode(substr(sha256(k.key || convert_to(r.told, 'UTF8')), 1, 12), 'hex') AS told,
            r.created_at, r.changed_at, r.tells_all, CASE WHEN :in_pass THEN now() END AS listed_at
        FROM tombstone_keys k, jsonb_to_recordset(:rows)
            AS r (id text, told text, created_at timestamptz, changed_at timestamptz, tells_all boolean)
    ), before AS (
        SELECT l.item_id, l.listed_at FROM listings l, told r WHERE l.collection = :collection AND l.item_id = r.id
    ), written AS (
        INSERT INTO listings AS l
            (tenant_id, collection, item_id, told, created_at, changed_at, listed_at, seen_at, to_read)
        SELECT current_setting('app.tenant_id'), :collection, r.id, r.told, r.created_at, r.changed_at, r.listed_at,
               now(), least(coalesce(r.changed_at, r.created_at, now()), now())
        FROM told r ORDER BY r.id
        ON CONFLICT (tenant_id, collection, item_id) DO UPDATE SET
            told = excluded.told, seen_at = now(), listed_at = coalesce(excluded.listed_at, l.listed_at),
            created_at = coalesce(excluded.created_at, l.created_at),
            changed_at = coalesce(excluded.changed_at, l.changed_at),
            to_read = CASE
                WHEN l.to_read > now() THEN l.to_read
                WHEN l.told <> excluded.told OR excluded.changed_at <> l.changed_at
                THEN greatest(l.to_read, least(coalesce(excluded.changed_at, now()), now()))
                WHEN l.read_at IS NULL OR (l.read_at < now() - make_interval(hours => :hours) AND NOT (
                    SELECT r.tells_all FROM told r WHERE r.id = excluded.item_id))
                THEN coalesce(l.to_read, CASE WHEN l.read_at IS NULL THEN coalesce(l.created_at, now())
                    ELSE to_timestamp(0) END)
                ELSE l.to_read END
    ) SELECT count(*) AS news FROM told r LEFT JOIN before b ON b.item_id = r.id
      WHERE b.listed_at IS NULL OR b.listed_at < :since
""")
_NEXT = text("""
    SELECT item_id FROM listings WHERE collection = :collection AND to_read <= now() ORDER BY to_read DESC LIMIT :most
""")
_READ = text("""
    UPDATE listings SET read_at = now(), seen_at = now(), to_read = NULL,
        changed_at = coalesce(:changed_at, changed_at), created_at = coalesce(:created_at, created_at)
    WHERE collection = :collection AND item_id = :item
""")
_POSTPONE = text("""
    UPDATE listings SET seen_at = now(), to_read = now() + make_interval(hours => :hours)
    WHERE collection = :collection AND item_id = :item
""")
_REMOVE_OLD = """
    WITH gone AS MATERIALIZED (
        SELECT l.item_id FROM listings l WHERE l.collection = '{collection}' AND l.{column} < :moment LIMIT :most
        FOR UPDATE SKIP LOCKED
    ), listed AS (
        DELETE FROM listings l USING gone g WHERE l.collection = '{collection}' AND l.item_id = g.item_id RETURNING 1
    ), copied AS (
        DELETE FROM {table} c USING gone g WHERE c.{key} = g.item_id RETURNING 1
    ) SELECT (SELECT count(*) FROM listed) AS listed, (SELECT count(*) FROM copied) AS copied
"""
_REMOVE = {
    (collection, column): text(_REMOVE_OLD.format(collection=collection, table=table, key=key, column=column))
    for collection, (table, key) in _COPIES.items()
    for column in ("seen_at", "created_at")
}
_REMOVE_ITEMS = {
    collection: (
        text(f"DELETE FROM listings WHERE collection = '{collection}' AND item_id = ANY (CAST(:items AS text[]))"),  # noqa: S608
        text(f"DELETE FROM {table} WHERE {key} = ANY (CAST(:items AS text[])) RETURNING 1"),  # noqa: S608
    )
    for collection, (table, key) in _COPIES.items()
}
_COUNT_MISSING = text("SELECT count(*) AS missing FROM listings WHERE collection = :collection AND seen_at < :moment")
_SCHEDULE_UNCOPIED = {
    collection: text(f"""
        UPDATE listings l SET to_read = least(coalesce(l.changed_at, l.created_at, now()), now())
        WHERE l.collection = '{collection}' AND l.to_read IS NULL
        AND NOT EXISTS (SELECT FROM {table} c WHERE c.{key} = l.item_id)
    """)  # noqa: S608 -- names above
    for collection, (table, key) in _COPIES.items()
}


class ListedItem(NamedTuple):
    """A listed item. `digest`: hash of its list values; times are the desk's.

    `is_complete`: the list has all fields that the rules need. Other items are read again after `hours`
    (`record_listed`).
    """

    item_id: str
    digest: str
    created_at: datetime | None = None
    changed_at: datetime | None = None
    is_complete: bool = True


async def record_listed(
    database: Database,
    tenant_id: str,
    collection: Collection,
    rows: Sequence[ListedItem],
    *,
    hours: int,
    pass_from: datetime | None = None,
) -> int:
    """Record listed items; return the number of those new to the pass.

    The pass began at `pass_from`; None outside a pass. Incomplete items that were read more than `hours` ago become
    due.
    """
    listed = [
        {
            "id": row.item_id,
            "told": row.digest,
            "created_at": row.created_at and row.created_at.isoformat(),
            "changed_at": row.changed_at and row.changed_at.isoformat(),
            "tells_all": row.is_complete,
        }
        for row in {row.item_id: row for row in rows}.values()
    ]
    values = {"collection": collection, "rows": Jsonb(listed), "since": pass_from, "hours": hours}
    of_pass, key = pass_from is not None, tombstones.new_key()
    queries = (tombstones.MAKE_KEY, _RECORD_LISTED)
    *_, (counts,) = await database.call_as(tenant_id, *queries, in_pass=of_pass, key=key, **values)
    return int(counts["news"])


async def next_to_read(database: Database, tenant_id: str, collection: Collection, most: int) -> list[str]:
    """Return the ids of up to `most` due items, the newest change first."""
    (rows,) = await database.call_as(tenant_id, _NEXT, collection=collection, most=most)
    return [str(row["item_id"]) for row in rows]


async def mark_read(
    database: Database,
    tenant_id: str,
    collection: Collection,
    item_id: str,
    *,
    created_at: datetime | None = None,
    changed_at: datetime | None = None,
) -> None:
    """Record that an item was read; None keeps its stored time."""
    values = {"collection": collection, "item": item_id, "changed_at": changed_at, "created_at": created_at}
    await database.call_as(tenant_id, _READ, **values)


async def postpone(database: Database, tenant_id: str, collection: Collection, item_id: str, *, hours: int) -> None:
    """Postpone the next reading of an item by `hours`, after a failed one."""
    await database.call_as(tenant_id, _POSTPONE, collection=collection, item=item_id, hours=hours)


async def remove_unlisted(database: Database, tenant_id: str, collection: Collection, moment: datetime) -> int:
    """Delete items not listed since `moment`; return the number of deleted copies."""
    return await _remove(database, tenant_id, collection, "seen_at", moment)


async def remove_older(database: Database, tenant_id: str, collection: Collection, moment: datetime) -> int:
    """Delete items created before `moment`; return the number of deleted copies."""
    return await _remove(database, tenant_id, collection, "created_at", moment)


async def remove(database: Database, tenant_id: str, collection: Collection, items: Sequence[str]) -> int:
    """Delete items, listed or not, and their copies; return the number of copies."""
    if not items:
        return 0
    _, copies = await database.call_as(tenant_id, *_REMOVE_ITEMS[collection], items=list(items))
    return len(copies)


async def _remove(database: Database, tenant_id: str, collection: Collection, column: str, moment: datetime) -> int:
    """Delete in batches: deleting postings blocks other writers of the tenant."""
    copies, most = 0, _ROWS_AT_ONCE[collection]
    listed = most
    while listed == most:
        query = _REMOVE[collection, column]
        ((counts,),) = await database.call_as(tenant_id, query, most=most, moment=moment)
        copies, listed = copies + counts["copied"], counts["listed"]
    return copies


async def count_missing(database: Database, tenant_id: str, collection: Collection, moment: datetime) -> int:
    """Count items that no list has contained since `moment`."""
    ((counts,),) = await database.call_as(tenant_id, _COUNT_MISSING, collection=collection, moment=moment)
    return int(counts["missing"])


async def schedule_uncopied(database: Database, tenant_id: str, collection: Collection) -> None:
    """Make items without a copy due, after a change of the rules."""
    await database.call_as(tenant_id, _SCHEDULE_UNCOPIED[collection])


class Extent(NamedTuple):
    """Extent of the copies of one desk."""

    tickets: int
    to_read: int
    """Due items of both kinds."""
    reaches_back_to: datetime | None
    """All tickets created since then are copied, except refused ones."""
    solutions: int
    oldest_seen: datetime | None
    """Oldest time at which the desk last showed a copied item."""
    listed: bool
    """True if the list of tickets was read to its end once; otherwise there may be more to read."""
    read_at: datetime | None


_EXTENT = text("""
    SELECT (SELECT count(*) FROM tickets) AS tickets,
        count(*) FILTER (WHERE to_read <= now()) AS to_read,
        coalesce(max(created_at) FILTER (WHERE collection = 't' AND read_at IS NULL AND to_read <= now()),
                 min(created_at) FILTER (WHERE collection = 't' AND read_at IS NOT NULL)) AS reaches_back_to,
        (SELECT count(DISTINCT source_id) FROM passages WHERE NOT starts_with(source_id, 'file:')) AS solutions,
        min(seen_at) FILTER (WHERE read_at IS NOT NULL) AS oldest_seen,
        EXISTS (SELECT FROM passes WHERE collection = 't' AND complete_at IS NOT NULL) AS listed,
        max(read_at) AS read_at
    FROM listings
""")


async def extent(database: Database, tenant_id: str) -> Extent:
    """Return counts and times of a desk's copies."""
    ((row,),) = await database.call_as(tenant_id, _EXTENT)
    return Extent(**row)


_LOAD = text("""
    SELECT now() AS now, p.began_at, coalesce(p.next_start, 1) AS next_start, p.last_created,
           coalesce(p.in_order, true) AS in_order, p.complete_from, p.complete_at, p.ended_at,
           coalesce(p.missing, 0) AS missing, p.changes_until, coalesce(p.rules, '') AS rules
    FROM (SELECT) one LEFT JOIN passes p ON p.collection = :collection
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


class HeldByAnotherError(Exception):
    """Another process is copying this desk."""


@dataclass(frozen=True, slots=True)
class PassState:
    """Progress of a collection's pass (a row of `passes`), and the database's time."""

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


_STORED = [name for name in PassState.__dataclass_fields__ if name != "now"]
_SAVE = text(f"""
    INSERT INTO passes (tenant_id, collection, {", ".join(_STORED)})
    SELECT current_setting('app.tenant_id'), :collection, {", ".join(f":{name}" for name in _STORED)}
    FROM passes held WHERE held.collection = 't' AND held.held_by = :holder
    ON CONFLICT (tenant_id, collection) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in _STORED)}
""")  # noqa: S608 -- names above


async def load_pass(database: Database, tenant_id: str, collection: Collection) -> PassState:
    ((row,),) = await database.call_as(tenant_id, _LOAD, collection=collection)
    return PassState(**row)


async def save_pass(database: Database, tenant_id: str, collection: Collection, state: PassState, holder: UUID) -> None:
    values = {name: getattr(state, name) for name in _STORED}
    await database.call_as(tenant_id, _SAVE, collection=collection, holder=holder, **values)


class DeskLease:
    """Lease of a desk: only one process copies it. `id` identifies the holder."""

    def __init__(self, database: Database, tenant_id: str, seconds: float) -> None:
        self.id = uuid4()
        self._database = database
        self._tenant_id = tenant_id
        self._seconds = seconds
        self._renew_at = 0.0

    async def renew(self) -> None:
        """Renew the lease after half its time. Raises HeldByAnotherError."""
        if time.monotonic() < self._renew_at:
            return
        values = {"holder": self.id, "seconds": self._seconds}
        (rows,) = await self._database.call_as(self._tenant_id, _HOLD, **values)
        if not rows:
            raise HeldByAnotherError
        self._renew_at = time.monotonic() + self._seconds / 2


@asynccontextmanager
async def desk_lease(database: Database, tenant_id: str, seconds: float) -> AsyncIterator[DeskLease]:
    """Lease this desk for the block; call `renew` at least every `seconds` / 2.

    Raises HeldByAnotherError if another process has the lease. The lease expires `seconds` after its renewal, so a
    killed process blocks the desk no longer than that.
    """
    lease = DeskLease(database, tenant_id, seconds)
    await lease.renew()
    try:
        yield lease
    finally:
        # Without the database the lease expires by itself.
        with suppress(*DATABASE_FAILURES):
            await database.call_as(tenant_id, _FREE, holder=lease.id)
