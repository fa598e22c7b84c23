"""What a desk lists, tickets and solutions alike: which are to be read, and which it lists no more.

A listed item is known by its id and by a hash of what the list told of it; its text is in the copy alone.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal, NamedTuple

from psycopg.types.json import Jsonb
from sqlalchemy import text

from storage import tombstones
from storage.session import Database

Collection = Literal["t", "p"]
"""Tickets, or the passages of solutions."""
COLLECTIONS: tuple[Collection, ...] = ("t", "p")
# Each of a solution is up to twenty passages.
_ROWS_AT_ONCE: Mapping[Collection, int] = {"t": 100, "p": 5}
_COPIES = {"t": ("tickets", "ticket_id"), "p": ("passages", "source_id")}

# Its moment may not lie ahead, whatever the desk's clock says. One that was put off comes when it is due, one that is
# read again only because no list tells enough of it after all others.
_TAKE_IN = text("""
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
# Where no list told of it: those copies of before lists were kept, and those that the release before has made.
_ADOPT = {
    collection: text(f"""
        INSERT INTO listings (tenant_id, collection, item_id, told, seen_at)
        SELECT DISTINCT ON (c.{key}) c.tenant_id, '{collection}', c.{key}, '', c.seen_at FROM {table} c
        WHERE NOT starts_with(c.{key}, 'file:') AND NOT EXISTS (
            SELECT FROM listings l WHERE l.collection = '{collection}' AND l.item_id = c.{key})
        ON CONFLICT DO NOTHING
    """)  # noqa: S608 -- names above
    for collection, (table, key) in _COPIES.items()
}
_NEXT = text("""
    SELECT item_id FROM listings WHERE collection = :collection AND to_read <= now() ORDER BY to_read DESC LIMIT :most
""")
_READ = text("""
    UPDATE listings SET read_at = now(), seen_at = now(), to_read = NULL,
        changed_at = coalesce(:changed_at, changed_at), created_at = coalesce(:created_at, created_at)
    WHERE collection = :collection AND item_id = :item
""")
_PUT_OFF = text("""
    UPDATE listings SET seen_at = now(), to_read = now() + make_interval(hours => :hours)
    WHERE collection = :collection AND item_id = :item
""")
_LEFT_OUT = """
    WITH gone AS MATERIALIZED (
        SELECT l.item_id FROM listings l WHERE l.collection = '{collection}' AND {condition} LIMIT :most
        FOR UPDATE SKIP LOCKED
    ), listed AS (
        DELETE FROM listings l USING gone g WHERE l.collection = '{collection}' AND l.item_id = g.item_id RETURNING 1
    ), copied AS (
        DELETE FROM {table} c USING gone g WHERE c.{key} = g.item_id RETURNING 1
    ) SELECT (SELECT count(*) FROM listed) AS listed, (SELECT count(*) FROM copied) AS copied
"""
_CONDITIONS = {
    "unlisted": "l.seen_at < :moment",
    "too old": "l.created_at < :moment",
}
_REMOVE = {
    (collection, name): text(_LEFT_OUT.format(collection=collection, table=table, key=key, condition=condition))
    for collection, (table, key) in _COPIES.items()
    for name, condition in _CONDITIONS.items()
}
_REMOVE_NAMED = {
    collection: (
        text(f"DELETE FROM listings WHERE collection = '{collection}' AND item_id = ANY (CAST(:items AS text[]))"),  # noqa: S608
        text(f"DELETE FROM {table} WHERE {key} = ANY (CAST(:items AS text[])) RETURNING 1"),  # noqa: S608
    )
    for collection, (table, key) in _COPIES.items()
}
_COUNT_MISSING = text("SELECT count(*) AS missing FROM listings WHERE collection = :collection AND seen_at < :moment")
_OTHER_RULES = {
    collection: text(f"""
        UPDATE listings l SET to_read = least(coalesce(l.changed_at, l.created_at, now()), now())
        WHERE l.collection = '{collection}' AND l.to_read IS NULL
        AND NOT EXISTS (SELECT FROM {table} c WHERE c.{key} = l.item_id)
    """)  # noqa: S608 -- names above
    for collection, (table, key) in _COPIES.items()
}


class ListedItem(NamedTuple):
    """What a list tells of one item. `told` is a hash of it all; times are the desk's, where it tells them.

    `tells_all`: it says whatever the tenant's rules ask for, so that the item need not be read for them each day.
    """

    item_id: str
    told: str
    created_at: datetime | None = None
    changed_at: datetime | None = None
    tells_all: bool = True


async def take_in(
    database: Database,
    tenant_id: str,
    collection: Collection,
    rows: Sequence[ListedItem],
    *,
    hours: int,
    pass_from: datetime | None = None,
) -> int:
    """Note what the desk has just listed: what is new, or told otherwise than before, is to be read.

    What does not tell all is to be read where that was `hours` ago. `pass_from`: when the pass began that has met
    these; return how many it had not met before.
    """
    told = [
        {
            "id": row.item_id,
            "told": row.told,
            "created_at": row.created_at and row.created_at.isoformat(),
            "changed_at": row.changed_at and row.changed_at.isoformat(),
            "tells_all": row.tells_all,
        }
        for row in {row.item_id: row for row in rows}.values()
    ]
    values = {"collection": collection, "rows": Jsonb(told), "since": pass_from, "hours": hours}
    of_pass, key = pass_from is not None, tombstones.new_key()
    questions = (tombstones.MAKE_KEY, _TAKE_IN)
    *_, (counted,) = await database.call_as(tenant_id, *questions, in_pass=of_pass, key=key, **values)
    return int(counted["news"])


async def adopt(database: Database, tenant_id: str, collection: Collection) -> None:
    """Note the copies of which no list was noted, as seen when they were: they go if no list shows them."""
    await database.call_as(tenant_id, _ADOPT[collection])


async def next_to_read(database: Database, tenant_id: str, collection: Collection, most: int) -> list[str]:
    """Return the items that are to be read next: what changed last comes first."""
    (rows,) = await database.call_as(tenant_id, _NEXT, collection=collection, most=most)
    return [str(row["item_id"]) for row in rows]


async def was_read(
    database: Database,
    tenant_id: str,
    collection: Collection,
    item_id: str,
    *,
    created_at: datetime | None = None,
    changed_at: datetime | None = None,
) -> None:
    """Record an item that the desk gave, with its times where it told them."""
    values = {"collection": collection, "item": item_id, "changed_at": changed_at, "created_at": created_at}
    await database.call_as(tenant_id, _READ, **values)


async def put_off(database: Database, tenant_id: str, collection: Collection, item_id: str, *, hours: int) -> None:
    """Ask again after `hours` for an item that the desk did not give."""
    await database.call_as(tenant_id, _PUT_OFF, collection=collection, item=item_id, hours=hours)


async def remove_unlisted(database: Database, tenant_id: str, collection: Collection, moment: datetime) -> int:
    """Delete what the desk has not shown since that moment, with its copies; how many rows of copies there were."""
    return await _remove(database, tenant_id, collection, "unlisted", moment=moment)


async def remove_older(database: Database, tenant_id: str, collection: Collection, moment: datetime) -> int:
    """Delete what was created before that moment, likewise."""
    return await _remove(database, tenant_id, collection, "too old", moment=moment)


async def remove(database: Database, tenant_id: str, collection: Collection, items: Sequence[str]) -> int:
    """Delete these, likewise; copies too that no list was noted of."""
    if not items:
        return 0
    _, copies = await database.call_as(tenant_id, *_REMOVE_NAMED[collection], items=list(items))
    return len(copies)


async def _remove(database: Database, tenant_id: str, collection: Collection, condition: str, **values: object) -> int:
    """Page by page: each deletes postings, for which others wait."""
    copies, most = 0, _ROWS_AT_ONCE[collection]
    listed = most
    while listed == most:
        question = _REMOVE[collection, condition]
        ((counted,),) = await database.call_as(tenant_id, question, most=most, **values)
        copies, listed = copies + counted["copied"], counted["listed"]
    return copies


async def count_missing(database: Database, tenant_id: str, collection: Collection, moment: datetime) -> int:
    """How many the desk has not shown since that moment."""
    ((counted,),) = await database.call_as(tenant_id, _COUNT_MISSING, collection=collection, moment=moment)
    return int(counted["missing"])


async def read_what_was_left_out(database: Database, tenant_id: str, collection: Collection) -> None:
    """Have each listed item read of which there is no copy: other rules hold than when it was left out."""
    await database.call_as(tenant_id, _OTHER_RULES[collection])


class Extent(NamedTuple):
    """How much of a desk is copied."""

    tickets: int
    to_read: int
    """Items of either kind, but for those that are put off."""
    reaches_back_to: datetime | None
    """Each ticket that was created since is read, but for those that the desk refuses to give."""
    solutions: int
    oldest_seen: datetime | None
    """When the desk last showed what was read and it has not shown for the longest."""
    listed: bool
    """True if the desk's list was read to its end at least once: before that there may be more to read."""
    read_at: datetime | None
    """When one was last read."""


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
    """How much of a desk is copied."""
    ((row,),) = await database.call_as(tenant_id, _EXTENT)
    return Extent(**row)
