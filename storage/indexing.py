"""The terms of copies, which the database keeps its postings by (`keep_postings` in functions.sql)."""

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
# In a transaction, which is to be short: other tenants' syncs wait for its connection.
_AT_ONCE = 20


def indexed(subject: str, text: str, languages: Sequence[str] = LANGUAGES) -> dict[str, Any]:
    """Return the columns of a copy by which it is found; an empty text is not found."""
    terms = weighed_terms(subject, text, languages_of(f"{subject} {text}", languages)[0]) if text else {}
    return {"terms": list(terms), "weights": list(terms.values()), "indexed": way_of(languages)}


def indexed_ticket(ticket: dict[str, Any], languages: Sequence[str] = LANGUAGES) -> dict[str, Any]:
    """Return those of a ticket: only one that was resolved is found, by what it asked and by what helped.

    That is its resolution, or else what was said in it.
    """
    helped = ticket["resolution"] or ticket["conversation"]
    text = f"{ticket['description']}\n{helped}" if helped else ""
    return indexed(ticket["subject"] if text else "", text, languages)


def way_of(languages: Sequence[str]) -> int:
    """Return the number of a way to index: this version, and the languages that texts are told apart by."""
    return VERSION * 256 + zlib.crc32(",".join(languages).encode()) % 256


async def index_again(database: Database, tenant_id: str, languages: Sequence[str], most: int) -> int:
    """Index some copies that were indexed in another way, or not at all: `most` tickets and passages; how many."""
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
    # Two ranges, which an index has: what differs would be sought in all of it. What somebody holds comes later.
    others = or_(copies.indexed < way_of(languages), copies.indexed > way_of(languages))
    return wanted.where(others).limit(_AT_ONCE).with_for_update(skip_locked=True)
