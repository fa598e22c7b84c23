"""The terms of copies, which the database keeps its postings by (`keep_postings` in functions.sql)."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select, update

from retrieval.language import LANGUAGES, languages_of
from retrieval.terms import weighed_terms
from storage.models import Passage, Ticket
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


async def index_again(database: Database, tenant_id: str, languages: Sequence[str]) -> int:
    """Index the copies that were indexed in another way than this version's, or not at all; how many."""
    done = 0
    while some := await _index_some_again(database, tenant_id, languages, _AT_ONCE):
        done += some
    return done


async def _index_some_again(database: Database, tenant_id: str, languages: Sequence[str], most: int) -> int:
    async with database.tenant(tenant_id) as session:
        tickets = select(Ticket.ticket_id, Ticket.subject, Ticket.description, Ticket.resolution)
        rows = (await session.execute(tickets.where(Ticket.indexed != VERSION).limit(most).with_for_update())).all()
        for row in rows:
            columns = indexed_ticket(row._asdict(), languages)
            await session.execute(update(Ticket).where(Ticket.ticket_id == row.ticket_id).values(**columns))
        passages = select(Passage.source_id, Passage.position, Passage.title, Passage.body)
        parts = (await session.execute(passages.where(Passage.indexed != VERSION).limit(most).with_for_update())).all()
        for part in parts:
            this = (Passage.source_id == part.source_id, Passage.position == part.position)
            await session.execute(update(Passage).where(*this).values(**indexed(part.title, part.body, languages)))
        return len(rows) + len(parts)
