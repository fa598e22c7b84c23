"""The copies of a desk's tickets and solutions that context is gathered from; `storage.search` finds in them."""

from collections.abc import Mapping, Sequence, Set
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Text, case, cast, column, delete, func, or_, select, tuple_, update
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, insert

from retrieval.language import LANGUAGES
from storage import documents, tombstones
from storage.indexing import indexed, indexed_ticket
from storage.models import Passage, Ticket
from storage.session import Database


async def known_tickets(database: Database, tenant_id: str) -> dict[str, str]:
    """Ids of the copied tickets, with the status that each had then; none where its requester was not looked at."""
    status = case((Ticket.requester.is_(None), ""), else_=Ticket.status).label("status")
    async with database.tenant(tenant_id) as session:
        rows = await session.execute(select(Ticket.ticket_id, status))
        return {row.ticket_id: row.status for row in rows}


async def save_ticket(
    database: Database,
    tenant_id: str,
    ticket: dict[str, str],
    requester: str = "",
    *,
    kinds: Mapping[str, str] | None = None,
    listed: bool = True,
    languages: Sequence[str] = LANGUAGES,
) -> bool:
    """Insert or refresh the copy of a ticket: `ticket_id`, `subject`, `description`, `resolution`, `status`.

    With `display_id`, the number that people see, where it is another one than the `ticket_id`. `kinds`: its category,
    group and template, as rules have names (`config.ticket_rules.fold`); without them they are not known any more.
    `listed`: the desk lists it, so that its age counts from now; else it only gave it when asked for a copy that there
    is. `languages`: those that the tenant's texts may be in. Return True if the copy was written: not of a ticket that
    was forgotten, or whose `requester` was (an address, of which only a keyed hash is kept), nor of one that was purged
    since it was asked for.
    """
    shown = ticket.get("display_id") or None
    columns = {**ticket, "display_id": shown, "kinds": kinds, "requester": tombstones.of_requester(requester)}
    columns |= indexed_ticket(ticket, languages)
    fresh = insert(Ticket).values(tenant_id=tenant_id, synced_at=func.now(), seen_at=func.now(), **columns)
    changed = {name: getattr(fresh.excluded, name) for name in [*columns, "seen_at", "synced_at"]}
    async with database.tenant(tenant_id) as session:
        if await tombstones.bars_copy(
            session, tenant_id, [ticket["ticket_id"], *([shown] if shown else [])], requester
        ):
            return False
        if listed:
            await session.execute(fresh.on_conflict_do_update(index_elements=["tenant_id", "ticket_id"], set_=changed))
            return True
        # One that was purged since it was asked for stays so.
        known = update(Ticket).where(Ticket.ticket_id == ticket["ticket_id"])
        known = known.values(**columns, seen_at=func.now())
        return await session.scalar(known.returning(Ticket.ticket_id)) is not None


async def remove_ticket(database: Database, tenant_id: str, number: str) -> int:
    """Delete the copy of a ticket that is gone, by either of its numbers; how many there were."""
    named = or_(Ticket.ticket_id == number, Ticket.display_id == number)
    gone = delete(Ticket).where(named).returning(Ticket.ticket_id)
    async with database.tenant(tenant_id) as session:
        return len((await session.scalars(gone)).all())


async def remove_forbidden(database: Database, tenant_id: str, forbidden: Mapping[str, Set[str]]) -> int:
    """Delete the copies that are known to have one of these names (kind -> names); how many there were."""
    if not forbidden:
        return 0
    has_one = [Ticket.kinds.op("->>")(kind).in_(names) for kind, names in forbidden.items()]
    gone = delete(Ticket).where(or_(*has_one)).returning(Ticket.ticket_id)
    async with database.tenant(tenant_id) as session:
        return len((await session.scalars(gone)).all())


async def note_kinds(database: Database, tenant_id: str, listed: Mapping[str, Mapping[str, str]]) -> None:
    """The desk has just listed these (ids with the kinds that it told of each): copies know them, beside others."""
    told = func.jsonb_each(cast(listed, JSONB)).table_valued("ticket_id", column("kinds", JSONB)).render_derived()
    kinds = func.coalesce(Ticket.kinds, cast({}, JSONB)).op("||")(told.c.kinds)
    others = Ticket.kinds.is_distinct_from(kinds)
    known = update(Ticket).where(Ticket.ticket_id == told.c.ticket_id, others).values(kinds=kinds)
    async with database.tenant(tenant_id) as session:
        await session.execute(known)


async def number_tickets(database: Database, tenant_id: str, listed: Mapping[str, str]) -> None:
    """The desk has just listed these (ids with the number that people see of each): copies are known by those too."""
    if not listed:
        return
    both = func.unnest(cast(list(listed), ARRAY(Text)), cast(list(listed.values()), ARRAY(Text)))
    told = both.table_valued("ticket_id", "display_id", joins_implicitly=True).render_derived()
    others = Ticket.display_id.is_distinct_from(told.c.display_id)
    known = update(Ticket).where(Ticket.ticket_id == told.c.ticket_id, others).values(display_id=told.c.display_id)
    async with database.tenant(tenant_id) as session:
        await session.execute(known)


async def put_off(
    database: Database, tenant_id: str, *, ticket_id: str | None = None, solution_id: str | None = None
) -> None:
    """The desk refused to show a copied ticket or solution: it is asked for again in a day, and not before all else.

    A ticket's kinds count as not known from then on: it may be hidden because it was moved to another queue.
    """
    refused = update(Ticket).where(Ticket.ticket_id == ticket_id).values(seen_at=func.now(), kinds=None)
    if solution_id is not None:
        refused = update(Passage).where(Passage.source_id == solution_id).values(seen_at=func.now())
    async with database.tenant(tenant_id) as session:
        await session.execute(refused)


async def touch_tickets(database: Database, tenant_id: str, ticket_ids: Sequence[str]) -> None:
    """The desk still lists these and their copies are current, so that their age counts from now; to the hour."""
    current = update(Ticket).where(
        Ticket.ticket_id.in_(ticket_ids), Ticket.synced_at < func.now() - func.make_interval(0, 0, 0, 0, 1)
    )
    async with database.tenant(tenant_id) as session:
        await session.execute(current.values(synced_at=func.now(), seen_at=func.now()))


async def see_tickets(database: Database, tenant_id: str, listed: Mapping[str, str], *, hours: int) -> int:
    """The desk has just listed these (ids with the status of each): it has shown the copies that have the same status.

    How many of those would have had to be asked for (`tickets_to_ask_for`). Their age goes on: it counts from when the
    desk last listed them among its newest.
    """
    alike = tuple_(Ticket.ticket_id, Ticket.status).in_(listed.items())
    these = update(Ticket).where(alike, Ticket.requester.is_not(None))
    async with database.tenant(tenant_id) as session:
        to_ask_for = select(func.count()).select_from(Ticket).where(alike, Ticket.requester.is_not(None))
        seen = await session.scalar(to_ask_for.where(_to_ask_for(hours)))
        await session.execute(these.values(seen_at=func.now()))
    return int(seen or 0)


async def oldest_seen(database: Database, tenant_id: str) -> datetime | None:
    """When the desk last showed the copy, of a ticket or a solution, that it has not shown for the longest."""
    async with database.tenant(tenant_id) as session:
        tickets = select(func.min(Ticket.seen_at))
        passages = select(func.min(Passage.seen_at)).where(documents.of_desks())
        both = func.least(tickets.scalar_subquery(), passages.scalar_subquery())
        oldest: datetime | None = await session.scalar(select(both))
        return oldest


async def save_passages(
    database: Database,
    tenant_id: str,
    source_id: str,
    title: str,
    bodies: Sequence[str],
    *,
    listed: bool = True,
    languages: Sequence[str] = LANGUAGES,
) -> None:
    """Replace the passages of one solution; `listed` and `languages` as for a ticket."""
    async with database.tenant(tenant_id) as session:
        listed_at = select(func.min(Passage.synced_at)).where(Passage.source_id == source_id)
        synced_at = func.now() if listed else await session.scalar(listed_at)
        if synced_at is None:
            return  # purged since it was asked for
        await session.execute(delete(Passage).where(Passage.source_id == source_id))
        for position, body in enumerate(bodies):
            await session.execute(
                insert(Passage).values(
                    tenant_id=tenant_id,
                    source_id=source_id,
                    position=position,
                    title=title,
                    body=body,
                    synced_at=synced_at,
                    seen_at=func.now(),
                    **indexed(title, body, languages),
                )
            )


async def remove_passages(database: Database, tenant_id: str, source_id: str) -> int:
    """Delete the passages of a solution that is gone; how many there were."""
    gone = delete(Passage).where(Passage.source_id == source_id).returning(Passage.position)
    async with database.tenant(tenant_id) as session:
        return len((await session.scalars(gone)).all())


async def tickets_to_ask_for(
    database: Database, tenant_id: str, listed: Sequence[str], *, hours: int, most: int
) -> list[str]:
    """Copied tickets that the desk has not just `listed`, and that may be gone.

    First those that it has not shown since it last listed them: they are newly missing. Then those that it has not
    shown for `hours`, the longest unseen first.
    """
    question = (
        select(Ticket.ticket_id)
        .where(Ticket.ticket_id.not_in(listed), _to_ask_for(hours))
        .order_by(_MISSED.desc(), Ticket.seen_at)
        .limit(most)
    )
    async with database.tenant(tenant_id) as session:
        return list(await session.scalars(question))


async def solutions_to_ask_for(
    database: Database, tenant_id: str, listed: Sequence[str], *, hours: int, most: int
) -> list[str]:
    """The same for solutions."""
    missed = func.bool_or(Passage.seen_at <= Passage.synced_at)
    seen_at = func.min(Passage.seen_at)
    question = (
        select(Passage.source_id)
        .where(Passage.source_id.not_in(listed), documents.of_desks())
        .group_by(Passage.source_id)
        .having(or_(missed, _unseen(seen_at, hours)))
        .order_by(missed.desc(), seen_at)
        .limit(most)
    )
    async with database.tenant(tenant_id) as session:
        return list(await session.scalars(question))


_MISSED = Ticket.seen_at <= Ticket.synced_at


def _to_ask_for(hours: int) -> ColumnElement[bool]:
    return or_(_MISSED, _unseen(Ticket.seen_at, hours))


def _unseen(seen_at: Any, hours: int) -> ColumnElement[bool]:
    unseen: ColumnElement[bool] = seen_at < func.now() - func.make_interval(0, 0, 0, 0, hours)
    return unseen
