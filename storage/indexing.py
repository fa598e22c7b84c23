"""The terms of copies, which the database keeps its postings by (`keep_postings` in functions.sql)."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, or_, select, update

from retrieval.language import LANGUAGES, languages_of
from retrieval.terms import weighed_terms
from storage.models import Indexed, Passage, Ticket
from storage.session import Database

_AT_ONCE = 100
VERSION = 1
"""Of the way in which texts become terms. A copy that was indexed in another one is indexed again."""


def indexed(subject: str, text: str, languages: Sequence[str] = LANGUAGES) -> dict[str, Any]:
    """Return the columns of a copy by which it is found; an empty text is not found."""
    terms = weighed_terms(subject, text, languages_of(f"{subject} {text}", languages)[0]) if text else {}
    return {"terms": list(terms), "weights": list(terms.values()), "indexed": VERSION}


def indexed_ticket(ticket: dict[str, Any], languages: Sequence[str] = LANGUAGES) -> dict[str, Any]:
    """Return those of a ticket: only one that was resolved is found, by what it asked and by what helped."""
    text = f"{ticket['description']}\n{ticket['resolution']}" if ticket["resolution"] else ""
    return indexed(ticket["subject"] if text else "", text, languages)


async def index_tickets_again(database: Database, tenant_id: str, languages: Sequence[str]) -> int:
    """Index the tickets that were indexed in another way than this version's, or not at all; how many."""
    wanted = select(Ticket.ticket_id, Ticket.subject, Ticket.description, Ticket.resolution)
    done = 0
    while True:
        async with database.tenant(tenant_id) as session:
            rows = (await session.execute(_some(wanted, Ticket))).all()
            for row in rows:
                columns = indexed_ticket(row._asdict(), languages)
                await session.execute(update(Ticket).where(Ticket.ticket_id == row.ticket_id).values(**columns))
        if not rows:
            return done
        done += len(rows)


async def index_passages_again(database: Database, tenant_id: str, languages: Sequence[str]) -> int:
    """The same for passages."""
    wanted = select(Passage.source_id, Passage.position, Passage.title, Passage.body)
    done = 0
    while True:
        async with database.tenant(tenant_id) as session:
            rows = (await session.execute(_some(wanted, Passage))).all()
            for row in rows:
                this = (Passage.source_id == row.source_id, Passage.position == row.position)
                columns = indexed(row.title, row.body, languages)
                await session.execute(update(Passage).where(*this).values(**columns))
        if not rows:
            return done
        done += len(rows)


def _some(wanted: Select[*tuple[Any, ...]], copies: type[Indexed]) -> Select[*tuple[Any, ...]]:
    # Two ranges, which an index has: what differs would be sought in all of it.
    others = or_(copies.indexed < VERSION, copies.indexed > VERSION)
    return wanted.where(others).limit(_AT_ONCE).with_for_update()
