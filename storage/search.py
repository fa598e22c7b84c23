"""The search in the copies of a desk's tickets and solutions (`storage.history`): by words in common.

Under row-level security the text index can't be used (`@@` is not leakproof), so a search reads the tenant's rows: fine
for some thousand tickets, and bounded by the context's time limit beyond.
"""

import asyncio
import re
from collections.abc import Mapping, Set

from sqlalchemy import ColumnElement, func, literal, select

from integrations.values import Document, SimilarTicket
from storage.models import Passage, Ticket
from storage.session import Database

_MOST_FOUND = 3
_MOST_WORDS = 24
_WORD = re.compile(r"[^\W_]{3,40}")
# Words in common that make a find: one alone would find a ticket for nearly any other.
_LEAST_RANK = 0.05


class SearchInPostgres:
    """Searches over the process's pool of connections, `most_at_once` at a time: the others are for what jobs write.

    Each method raises one of DATABASE_FAILURES when the database is away.
    """

    def __init__(self, database: Database, most_at_once: int) -> None:
        self._database = database
        self._slots = asyncio.Semaphore(most_at_once)

    async def similar_tickets(
        self, tenant_id: str, ticket_id: str, subject: str, description: str, forbidden: Mapping[str, Set[str]]
    ) -> list[SimilarTicket]:
        """Return the tenant's tickets that have most in common with this one and were resolved, best first.

        `ticket_id` is the desk's id, by which tickets are copied. None is found that has one of the names in
        `forbidden` (kind -> names, as in the column `kinds`), or of which the desk has not told that kind.
        """
        query = _query(subject, description)
        rank = func.ts_rank(Ticket.words, query)
        # What is not known is null, and so is the whole condition: such a copy is not found.
        allowed = [Ticket.kinds.op("->>")(kind).not_in(names) for kind, names in forbidden.items()]
        question = (
            select(Ticket.ticket_id, Ticket.subject, Ticket.resolution, func.coalesce(Ticket.display_id, ""))
            .where(Ticket.ticket_id != ticket_id, Ticket.resolution != "", *allowed)
            .where(Ticket.words.op("@@")(query), rank > _LEAST_RANK)
            .order_by(rank.desc(), Ticket.ticket_id)
            .limit(_MOST_FOUND)
        )
        async with self._slots, self._database.tenant(tenant_id) as session:
            return [SimilarTicket(*row) for row in await session.execute(question)]

    async def documents(self, tenant_id: str, subject: str, description: str) -> list[Document]:
        """Return the passages of the tenant's knowledge base that have most in common with this text, best first."""
        query = _query(subject, description)
        rank = func.ts_rank(Passage.words, query)
        question = (
            select(Passage.title, Passage.body)
            .where(Passage.words.op("@@")(query), rank > _LEAST_RANK)
            .order_by(rank.desc(), Passage.source_id, Passage.position)
            .limit(_MOST_FOUND)
        )
        async with self._slots, self._database.tenant(tenant_id) as session:
            return [Document(*row) for row in await session.execute(question)]


def _query(subject: str, description: str) -> ColumnElement[object]:
    """Return a text search query for any of the words, the subject's first."""
    words = list(dict.fromkeys(word.lower() for word in _WORD.findall(f"{subject} {description[:4000]}")))
    return func.to_tsquery("english", literal(" | ".join(words[:_MOST_WORDS])))
