"""Terms of copies, from which the database keeps postings (`keep_postings`)."""

import zlib
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from retrieval.language import LANGUAGES, languages_of
from retrieval.terms import weighed_terms
from storage.copies import Indexed, Passage, Ticket
from storage.session import Database

VERSION = 1
"""Of the way in which texts become terms. A copy that was indexed in another one is indexed again."""
# Rows in a short transaction: other tenants' syncs wait for its connection.
_AT_ONCE = 20


def indexed(subject: str, text: str, languages: Sequence[str] = LANGUAGES) -> dict[str, Any]:
    terms = weighed_terms(subject, text, languages_of(f"{subject} {text}", languages)[0]) if text else {}
    return {"terms": list(terms), "weights": list(terms.values()), "indexed": way_of(languages)}


def indexed_ticket(ticket: dict[str, Any], languages: Sequence[str] = LANGUAGES) -> dict[str, Any]:
    """Return a ticket's search columns: the question, and the resolution.

    Without a resolution its conversation counts; only resolved tickets are found.
    """
    helped = ticket["resolution"] or ticket["conversation"]
    text = f"{ticket['description']}\n{helped}" if helped else ""
    return indexed(ticket["subject"] if text else "", text, languages)


def way_of(languages: Sequence[str]) -> int:
    return VERSION * 256 + zlib.crc32(",".join(languages).encode()) % 256


async def index_again(database: Database, tenant_id: str, languages: Sequence[str], most: int) -> int:
    """Index `most` tickets and passages of another indexing method; return the count."""
    done = 0
    for index in (_index_tickets, _index_passages):
        count, left = _AT_ONCE, most
        while count == _AT_ONCE and left > 0:
            async with database.tenant(tenant_id) as session:
                count = await index(session, languages)
            done += count
            left -= count
    return done


async def _index_tickets(session: AsyncSession, languages: Sequence[str]) -> int:
    wanted = select(Ticket.ticket_id, Ticket.subject, Ticket.description, Ticket.resolution, Ticket.conversation)
    rows = (await session.execute(_some(wanted, Ticket, languages))).all()
    for row in rows:
        columns = indexed_ticket(row._asdict(), languages)
        await session.execute(update(Ticket).where(Ticket.ticket_id == row.ticket_id).values(**columns))
    return len(rows)


async def _index_passages(session: AsyncSession, languages: Sequence[str]) -> int:
    wanted = select(Passage.source_id, Passage.position, Passage.title, Passage.body)
    rows = (await session.execute(_some(wanted, Passage, languages))).all()
    for row in rows:
        this = (Passage.source_id == row.source_id, Passage.position == row.position)
        await session.execute(update(Passage).where(*this).values(**indexed(row.title, row.body, languages)))
    return len(rows)


def _some(
    wanted: Select[*tuple[Any, ...]], copies: type[Indexed], languages: Sequence[str]
) -> Select[*tuple[Any, ...]]:
    # Two ranges, which an index supports, unlike `<>`. Locked rows come later.
    others = or_(copies.indexed < way_of(languages), copies.indexed > way_of(languages))
    return wanted.where(others).limit(_AT_ONCE).with_for_update(skip_locked=True)
