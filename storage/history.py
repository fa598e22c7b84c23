"""Copies of a desk's tickets and solutions; `storage.search` searches them."""

from collections.abc import Mapping, Sequence, Set
from datetime import datetime

from psycopg.types.json import Jsonb
from sqlalchemy import Text, bindparam, cast, column, delete, func, or_, select, text, update
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, insert

from privacy.redaction.people import Person
from retrieval.language import LANGUAGES
from storage import tombstones
from storage.copies import Listing, Passage, Ticket
from storage.documents import delete_passages
from storage.indexing import indexed, indexed_ticket
from storage.paging import among, split
from storage.people import people_to_keep
from storage.session import Database

# Rows in a transaction: each decrements its terms' counts, which blocks other writers of the tenant.
_AT_ONCE = 100
# Requester in the form of `tombstones.of_requester`.
_SAVE = text(f"""
    WITH forgotten AS ({tombstones.ARE_LEFT})
    INSERT INTO tickets (tenant_id, ticket_id, display_id, subject, description, resolution, status, kinds, created_at,
        conversation, people, terms, weights, indexed, requester, synced_at, resolution_seen_at)
    SELECT current_setting('app.tenant_id'), :ticket_id, :display_id, :subject, :description, :resolution, :status,
        CAST(:kinds AS jsonb), CAST(:created_at AS timestamptz), :conversation, CAST(:people AS jsonb),
        CAST(:terms AS integer[]), CAST(:weights AS real[]), :indexed,
        CASE WHEN :folded = '' THEN '' ELSE (
            SELECT sha256(k.key || convert_to('requester' || :folded, 'UTF8')) FROM tombstone_keys k) END,
        now(), now()
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
    """Insert or refresh the copy of a ticket; return False if it was forgotten.

    `ticket`: `ticket_id`, `subject`, `description`, `resolution`, `status`; `display_id`, the displayed number, if it
    differs; `conversation` if the tenant wants it. `requester`: an address, of which only a keyed hash is stored; a
    forgotten one prevents the copy. `kinds`: category, group, site and template, normalised as in
    `config.ticket_rules.fold`; unknown if None. `created_at`: by the desk's clock. `people`: named by the desk.
    `languages`: possible languages of the tenant's texts.
    """
    shown = ticket.get("display_id") or None
    columns = {"display_id": "", "conversation": "", **ticket}
    values = (
        columns
        | indexed_ticket(columns, languages)
        | {"display_id": shown, "kinds": None if kinds is None else Jsonb(dict(kinds))}
    )
    values |= {"people": Jsonb(people_to_keep(people))}
    values |= {"created_at": created_at, "folded": tombstones.fold(requester)}
    values |= {"numbers": [ticket["ticket_id"], *([shown] if shown else [])], "key": tombstones.new_key()}
    # One round trip: a desk's history is hundreds of thousands of them.
    *_, saved = await database.call_as(tenant_id, tombstones.MAKE_KEY, tombstones.SHARE_KEY, _SAVE, **values)
    if saved:
        return True
    async with database.tenant(tenant_id) as session:
        await tombstones.bars_copy(session, tenant_id, values["numbers"], requester)
    return False


async def remove_ticket(database: Database, tenant_id: str, number: str) -> int:
    """Delete the copy of a ticket by either of its numbers; return the count.

    If the desk still lists it, it is read again in a day: it may be back.
    """
    named = or_(Ticket.ticket_id == number, Ticket.display_id == number)
    gone = delete(Ticket).where(named).returning(Ticket.ticket_id)
    async with database.tenant(tenant_id) as session:
        copies = (await session.scalars(gone)).all()
        listed = update(Listing).where(Listing.collection == "t", among(Listing.item_id, [*copies, number]))
        await session.execute(listed.values(to_read=func.now() + func.make_interval(0, 0, 0, 1)))
    return len(copies)


async def remove_forbidden(database: Database, tenant_id: str, forbidden: Mapping[str, Set[str]]) -> int:
    """Delete copies with one of these names (kind -> names); return their number."""
    if not forbidden:
        return 0
    has_one = [Ticket.kinds.op("->>")(kind).in_(names) for kind, names in forbidden.items()]
    async with database.tenant(tenant_id) as session:
        theirs = (await session.scalars(select(Ticket.ticket_id).where(or_(*has_one)))).all()
    removed = 0
    for some in split(theirs, _AT_ONCE):
        async with database.tenant(tenant_id) as session:
            gone = delete(Ticket).where(among(Ticket.ticket_id, some)).returning(Ticket.ticket_id)
            removed += len((await session.scalars(gone)).all())
            # Their listings go too: if the rule is removed before a list was read by it, they count as new.
            await session.execute(delete(Listing).where(Listing.collection == "t", among(Listing.item_id, some)))
    return removed


async def note_kinds(database: Database, tenant_id: str, listed: Mapping[str, Mapping[str, str]]) -> None:
    """Add kinds to copies of listed tickets (id -> kinds)."""
    told = func.jsonb_each(cast(listed, JSONB)).table_valued("ticket_id", column("kinds", JSONB)).render_derived()
    kinds = func.coalesce(Ticket.kinds, cast({}, JSONB)).op("||")(told.c.kinds)
    others = Ticket.kinds.is_distinct_from(kinds)
    known = update(Ticket).where(Ticket.ticket_id == told.c.ticket_id, others).values(kinds=kinds)
    async with database.tenant(tenant_id) as session:
        await session.execute(known)


async def number_tickets(database: Database, tenant_id: str, listed: Mapping[str, str]) -> None:
    """Add displayed numbers to copies of listed tickets (id -> number)."""
    if not listed:
        return
    both = func.unnest(cast(list(listed), ARRAY(Text)), cast(list(listed.values()), ARRAY(Text)))
    told = both.table_valued("ticket_id", "display_id", joins_implicitly=True).render_derived()
    others = Ticket.display_id.is_distinct_from(told.c.display_id)
    known = update(Ticket).where(Ticket.ticket_id == told.c.ticket_id, others).values(display_id=told.c.display_id)
    async with database.tenant(tenant_id) as session:
        await session.execute(known)


async def hide_kinds(database: Database, tenant_id: str, ticket_id: str) -> None:
    refused = update(Ticket).where(Ticket.ticket_id == ticket_id).values(kinds=None)
    async with database.tenant(tenant_id) as session:
        await session.execute(refused)


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
    """Replace the passages of one solution, keeping unchanged ones and their index.

    `topic` is normalised as rules are; `languages` as for a ticket. No search finds them from `expires_at` on.
    """
    source = {"tenant_id": tenant_id, "source_id": source_id, "title": title, "topic": topic, "expires_at": expires_at}
    rows = [
        {**source, "position": position, "body": body} | indexed(title, body, languages)
        for position, body in enumerate(bodies)
    ]
    told = (Passage.position, Passage.title, Passage.body, Passage.topic, Passage.indexed)
    theirs = Passage.source_id == source_id
    async with database.tenant(tenant_id) as session:
        there = (await session.execute(select(*told).where(theirs).order_by(Passage.position))).all()
        if [each._asdict() for each in there] == [{column.key: row[column.key] for column in told} for row in rows]:
            kept = {"synced_at": func.now(), "expires_at": expires_at}
            await session.execute(update(Passage).where(theirs).values(kept))
            return
        await session.execute(delete(Passage).where(theirs))
        if rows:
            await session.execute(insert(Passage).values(synced_at=func.now()), rows)


async def remove_passages(database: Database, tenant_id: str, source_id: str) -> int:
    gone = delete(Passage).where(Passage.source_id == source_id).returning(Passage.position)
    async with database.tenant(tenant_id) as session:
        return len((await session.scalars(gone)).all())


async def remove_expired(database: Database, tenant_id: str) -> int:
    return await delete_passages(database, tenant_id, Passage.expires_at <= func.now())
