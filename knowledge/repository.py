"""Copies of a desk's tickets and solutions, and documents added from files.

`knowledge.search` searches them. The database keeps postings of their terms (`keep_postings`).
"""

import zlib
from collections.abc import Mapping, Sequence, Set
from datetime import datetime
from typing import Any, NamedTuple

from psycopg.types.json import Jsonb
from sqlalchemy import ColumnElement, Text, bindparam, delete, func, or_, select, text, tuple_, update
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncSession

from db.session import Database, split
from integrations.values import Person, storable
from knowledge.language import LANGUAGES, languages_of
from knowledge.models import Passage, Ticket, people_to_keep
from knowledge.terms import weighed_terms
from privacy import tombstones

VERSION = 2
"""The version of `indexed`. A copy with another version is indexed again."""
# Rows per transaction: a short one, because other tenants' syncs wait for its connection.
_INDEXED_AT_ONCE = 20


def indexed(subject: str, text: str, languages: Sequence[str] = LANGUAGES) -> dict[str, Any]:
    """Return the index columns of a text: terms, weights and version."""
    terms = weighed_terms(subject, text, languages_of(f"{subject} {text}", languages)[0]) if text else {}
    return {"terms": list(terms), "weights": list(terms.values()), "indexed": index_version(languages)}


def indexed_ticket(ticket: dict[str, Any], languages: Sequence[str] = LANGUAGES) -> dict[str, Any]:
    helped = ticket["conversation"] or ticket["resolution"]
    text = f"{ticket['description']}\n{helped}" if helped else ""
    return indexed(ticket["subject"] if text else "", text, languages)


def index_version(languages: Sequence[str]) -> int:
    return VERSION * 256 + zlib.crc32(",".join(languages).encode()) % 256


async def index_again(database: Database, tenant_id: str, languages: Sequence[str], most: int) -> int:
    """Index outdated copies, at most about `most` of each kind; return their number."""
    done = 0
    tables: tuple[type[Ticket] | type[Passage], ...] = (Ticket, Passage)
    for copies in tables:
        count, remaining = _INDEXED_AT_ONCE, most
        while count == _INDEXED_AT_ONCE and remaining > 0:
            async with database.tenant(tenant_id) as session:
                count = await _index_batch(session, copies, languages)
            done += count
            remaining -= count
    return done


async def _index_batch(session: AsyncSession, copies: type[Ticket] | type[Passage], languages: Sequence[str]) -> int:
    # Two ranges can use the index, `<>` can't. Locked rows are left to a later call.
    outdated = or_(copies.indexed < index_version(languages), copies.indexed > index_version(languages))
    query = select(copies).where(outdated).limit(_INDEXED_AT_ONCE).with_for_update(skip_locked=True)
    rows: Sequence[Any] = (await session.scalars(query)).all()
    for row in rows:
        if isinstance(row, Ticket):
            texts = ("subject", "description", "resolution", "conversation")
            columns = indexed_ticket({name: getattr(row, name) for name in texts}, languages)
        else:
            columns = indexed(row.title, row.body, languages)
        row.terms, row.weights, row.indexed = columns["terms"], columns["weights"], columns["indexed"]
    return len(rows)


_FILE = "file:"
"""Prefix of an added document's source id, also in `purge_passages` (functions.sql); a desk's ids are digits."""
_PASSAGES_AT_ONCE = 25


class AddedDocument(NamedTuple):
    """A document added from a file."""

    path: str
    parts: int
    added_at: datetime


async def delete_passages(database: Database, tenant_id: str, *conditions: ColumnElement[bool]) -> int:
    """Delete the passages that meet all conditions; return their number.

    Each transaction deletes a few: each passage decrements its terms' counts, which blocks other writers of the tenant.
    """
    key = tuple_(Passage.source_id, Passage.position)
    batch = select(Passage.source_id, Passage.position).where(*conditions).limit(_PASSAGES_AT_ONCE)
    deleted, count = 0, _PASSAGES_AT_ONCE
    while count == _PASSAGES_AT_ONCE:
        async with database.tenant(tenant_id) as session:
            statement = delete(Passage).where(key.in_(batch)).returning(Passage.position)
            count = len((await session.scalars(statement)).all())
        deleted += count
    return deleted


async def save_document(
    database: Database,
    tenant_id: str,
    path: str,
    parts: Sequence[tuple[str, str]],
    languages: Sequence[str] = LANGUAGES,
) -> int:
    """Replace a document by these (title, text) parts; return the old part count.

    It takes several transactions. After an interruption, saving the document again completes it.
    """
    source = {"tenant_id": tenant_id, "source_id": storable(f"{_FILE}{path}")}
    rows = [
        {**source, "position": position, "title": title, "body": body} | indexed(title, body, languages)
        for position, (title, body) in enumerate((storable(title), storable(text)) for title, text in parts)
    ]
    old_count = await delete_passages(database, tenant_id, Passage.source_id == source["source_id"])
    for batch in split(rows, _PASSAGES_AT_ONCE):
        async with database.tenant(tenant_id) as session:
            await session.execute(insert(Passage).values(synced_at=func.now()), list(batch))
    return old_count


async def remove_document(database: Database, tenant_id: str, path: str) -> int:
    """Delete an added document; return the number of its parts."""
    return await save_document(database, tenant_id, path, ())


async def added_documents(database: Database, tenant_id: str) -> list[AddedDocument]:
    """Return the documents added from files, by path."""
    path = func.substr(Passage.source_id, len(_FILE) + 1).label("path")
    query = (
        select(path, func.count().label("parts"), func.min(Passage.synced_at).label("added_at"))
        .where(Passage.source_id.like(f"{_FILE}%"))
        .group_by(path)
        .order_by(path)
    )
    async with database.tenant(tenant_id) as session:
        return [AddedDocument(*row) for row in await session.execute(query)]


# Rows per transaction, few for the reason in `delete_passages`.
_AT_ONCE = 100
_SAVE = text(f"""
    WITH forgotten AS ({tombstones.ARE_LEFT})
    INSERT INTO tickets (tenant_id, ticket_id, display_id, subject, description, resolution, status, kinds, created_at,
        conversation, people, terms, weights, indexed, requester, synced_at, resolution_seen_at)
    SELECT current_setting('app.tenant_id'), :ticket_id, :display_id, :subject, :description, :resolution, :status,
        CAST(:kinds AS jsonb), CAST(:created_at AS timestamptz), :conversation, CAST(:people AS jsonb),
        CAST(:terms AS integer[]), CAST(:weights AS real[]), :indexed,
        {tombstones.OF_REQUESTER}, now(), now()
    FROM forgotten WHERE NOT are_left
    ON CONFLICT (tenant_id, ticket_id) DO UPDATE SET display_id = excluded.display_id, subject = excluded.subject,
        description = excluded.description, resolution = excluded.resolution, status = excluded.status,
        kinds = excluded.kinds, created_at = excluded.created_at, conversation = excluded.conversation,
        people = excluded.people, terms = excluded.terms, weights = excluded.weights,
        indexed = excluded.indexed, requester = excluded.requester, synced_at = now(),
        resolution_seen_at = CASE WHEN tickets.resolution = excluded.resolution THEN tickets.resolution_seen_at
            ELSE now() END
    RETURNING 1
""").bindparams(  # noqa: S608 -- constants
    bindparam("numbers", type_=ARRAY(Text)), bindparam("folded", type_=Text)
)

_REMOVE_TICKET = text("""
    WITH gone AS (
        DELETE FROM tickets WHERE ticket_id = :number OR display_id = :number RETURNING ticket_id
    ), listed AS (
        UPDATE listings SET to_read = now() + interval '1 day' WHERE collection = 't'
        AND item_id = ANY (ARRAY(SELECT :number UNION ALL SELECT ticket_id FROM gone))
    ) SELECT count(*) AS copies FROM gone
""").bindparams(bindparam("number", type_=Text))
# Listings of the removed tickets are deleted too: if the rule is removed before the next list, they are new again.
_REMOVE_FORBIDDEN = text("""
    WITH gone AS MATERIALIZED (
        SELECT t.ticket_id FROM tickets t
        WHERE EXISTS (SELECT FROM jsonb_each(:forbidden) f (kind, names) WHERE f.names ? (t.kinds ->> f.kind))
        LIMIT :most
    ), listed AS (
        DELETE FROM listings l USING gone g WHERE l.collection = 't' AND l.item_id = g.ticket_id
    ), copied AS (
        DELETE FROM tickets t USING gone g WHERE t.ticket_id = g.ticket_id RETURNING 1
    ) SELECT count(*) AS copies FROM copied
""")
_NOTE_KINDS = text("""
    UPDATE tickets t SET kinds = coalesce(t.kinds, '{}') || l.value FROM jsonb_each(:listed) l
    WHERE t.ticket_id = l.key AND t.kinds IS DISTINCT FROM coalesce(t.kinds, '{}') || l.value
""")
_NUMBER = text("""
    UPDATE tickets t SET display_id = l.value FROM jsonb_each_text(:listed) l
    WHERE t.ticket_id = l.key AND t.display_id IS DISTINCT FROM l.value
""")
_HIDE_KINDS = text("UPDATE tickets SET kinds = NULL WHERE ticket_id = :ticket")


async def save_ticket(
    database: Database,
    tenant_id: str,
    ticket: dict[str, str],
    requester: str = "",
    *,
    kinds: Mapping[str, str] | None = None,
    created_at: datetime | None = None,
    people: Sequence[Person] = (),
    languages: Sequence[str] = LANGUAGES,
) -> bool:
    """Insert or update the copy of a ticket; return False if it was forgotten.

    `ticket` has `ticket_id`, `subject`, `description`, `resolution` and `status`, and optionally `display_id`, if the
    displayed number differs, and `conversation`, if the tenant has it copied. `requester`: a mail address, stored only
    as a keyed hash; the tickets of a forgotten requester are not copied. `kinds`: category, group, site, template and
    priority, normalised as in `config.tenants.fold`; None if unknown. `created_at`: by the desk's clock. `people`:
    persons named by the desk. `languages`: possible languages of the tenant's texts.
    """
    display_id = ticket.get("display_id") or None
    columns = {"conversation": "", **ticket}
    values = columns | indexed_ticket(columns, languages)
    values |= {"display_id": display_id, "created_at": created_at, "people": Jsonb(people_to_keep(people))}
    values |= {"kinds": None if kinds is None else Jsonb(dict(kinds)), "folded": tombstones.fold(requester)}
    values |= {"numbers": [ticket["ticket_id"], *([display_id] if display_id else [])], "key": tombstones.new_key()}
    # One round trip: a desk's history has hundreds of thousands of tickets.
    *_, saved = await database.call_as(tenant_id, tombstones.MAKE_KEY, tombstones.SHARE_KEY, _SAVE, **values)
    if saved:
        return True
    async with database.tenant(tenant_id) as session:
        await tombstones.lock(session, shared=True)
        # Mark all its numbers as forgotten, so that the ticket is not read again.
        if await tombstones.are_left(session, values["numbers"], requester):
            await tombstones.leave(session, tenant_id, map(tombstones.of_ticket, values["numbers"]))
            await session.execute(delete(Ticket).where(Ticket.ticket_id == ticket["ticket_id"]))
    return False


async def remove_ticket(database: Database, tenant_id: str, number: str) -> int:
    """Delete the copies with a ticket or display number; return their count.

    If the ticket is listed, it is read again in a day.
    """
    ((row,),) = await database.call_as(tenant_id, _REMOVE_TICKET, number=number)
    return int(row["copies"])


async def remove_forbidden(database: Database, tenant_id: str, forbidden: Mapping[str, Set[str]]) -> int:
    """Delete copies of tickets that the tenant's rules exclude; return their number."""
    names = Jsonb({kind: list(excluded) for kind, excluded in forbidden.items()})
    removed, count = 0, _AT_ONCE
    while forbidden and count == _AT_ONCE:
        ((row,),) = await database.call_as(tenant_id, _REMOVE_FORBIDDEN, forbidden=names, most=_AT_ONCE)
        count = row["copies"]
        removed += count
    return removed


async def note_kinds(database: Database, tenant_id: str, listed: Mapping[str, Mapping[str, str]]) -> None:
    """Update the kinds of copied tickets: ticket id -> kind -> folded name."""
    await database.call_as(tenant_id, _NOTE_KINDS, listed=Jsonb(listed))


async def number_tickets(database: Database, tenant_id: str, listed: Mapping[str, str]) -> None:
    """Update the display numbers of copied tickets: ticket id -> number."""
    await database.call_as(tenant_id, _NUMBER, listed=Jsonb(listed))


async def hide_kinds(database: Database, tenant_id: str, ticket_id: str) -> None:
    """Mark a copy's kinds as unknown, so that rules on kinds exclude it."""
    await database.call_as(tenant_id, _HIDE_KINDS, ticket=ticket_id)


async def save_passages(
    database: Database,
    tenant_id: str,
    source_id: str,
    title: str,
    bodies: Sequence[str],
    *,
    topic: str | None = None,
    expires_at: datetime | None = None,
    languages: Sequence[str] = LANGUAGES,
) -> None:
    """Replace the passages of one solution, unless all are unchanged.

    `topic` is normalised as in rules, `languages` are as in `save_ticket`. No search finds passages after `expires_at`.
    """
    source = {"tenant_id": tenant_id, "source_id": source_id, "title": title, "topic": topic, "expires_at": expires_at}
    rows = [
        {**source, "position": position, "body": body} | indexed(title, body, languages)
        for position, body in enumerate(bodies)
    ]
    compared = (Passage.position, Passage.title, Passage.body, Passage.topic, Passage.indexed)
    of_source = Passage.source_id == source_id
    async with database.tenant(tenant_id) as session:
        stored = (await session.execute(select(*compared).where(of_source).order_by(Passage.position))).all()
        if [row._asdict() for row in stored] == [{column.key: row[column.key] for column in compared} for row in rows]:
            values = {"synced_at": func.now(), "expires_at": expires_at}
            await session.execute(update(Passage).where(of_source).values(values))
            return
        await session.execute(delete(Passage).where(of_source))
        if rows:
            await session.execute(insert(Passage).values(synced_at=func.now()), rows)


async def remove_passages(database: Database, tenant_id: str, source_id: str) -> int:
    return await delete_passages(database, tenant_id, Passage.source_id == source_id)


async def remove_expired(database: Database, tenant_id: str) -> int:
    """Delete passages of expired solutions; return their number."""
    return await delete_passages(database, tenant_id, Passage.expires_at <= func.now())
