"""The search in the copies of a desk's tickets and solutions (`storage.history`): by words in common.

Under row-level security the text index can't be used (`@@` is not leakproof), so a search reads the tenant's rows: fine
for some thousand tickets, and bounded by the context's time limit beyond.
"""

import re
from collections.abc import Mapping, Sequence, Set
from typing import Any

from psycopg.types.json import Jsonb
from sqlalchemy import TextClause, text

from integrations.values import Document, SimilarTicket
from storage.direct import Row
from storage.session import Database
from storage.slots import TenantSlots

_MOST_FOUND = 3
_MOST_WORDS = 24
_WORD = re.compile(r"[^\W_]{3,40}")
# Words in common that make a find: one alone would find a ticket for nearly any other.
_LEAST_RANK = 0.05

# A copy that does not know one of the kinds is not found: it may have a name that is forbidden.
_TICKETS = text("""
    SELECT t.ticket_id, t.subject, t.resolution, coalesce(t.display_id, '') AS display_id
    FROM tickets t, to_tsquery('english', :words) query, ts_rank(t.words, query) rank
    WHERE t.ticket_id <> :ticket_id AND t.resolution <> '' AND t.words @@ query AND rank > :least
    AND (SELECT coalesce(bool_and(coalesce(NOT f.names ? (t.kinds ->> f.kind), false)), true)
         FROM jsonb_each(:forbidden) f (kind, names))
    ORDER BY rank DESC, t.ticket_id LIMIT :most
""")
_DOCUMENTS = text("""
    SELECT p.title, p.body AS text
    FROM passages p, to_tsquery('english', :words) query, ts_rank(p.words, query) rank
    WHERE p.words @@ query AND rank > :least
    ORDER BY rank DESC, p.source_id, p.position LIMIT :most
""")


class SearchInPostgres:
    """Searches over the process's pool of connections, `most_at_once` at a time: the others are for what jobs write.

    Tenants take turns: one with a thousand copies is not to wait for all the jobs of one with a million.
    Each method raises one of DATABASE_FAILURES when the database is away.
    """

    def __init__(self, database: Database, most_at_once: int) -> None:
        self._database = database
        self._slots = TenantSlots(most_at_once)

    async def similar_tickets(
        self, tenant_id: str, ticket_id: str, subject: str, description: str, forbidden: Mapping[str, Set[str]]
    ) -> list[SimilarTicket]:
        """Return the tenant's tickets that have most in common with this one and were resolved, best first.

        `ticket_id` is the desk's id, by which tickets are copied. None is found that has one of the names in
        `forbidden` (kind -> names, as in the column `kinds`), or of which the desk has not told that kind.
        """
        named = Jsonb({kind: list(names) for kind, names in forbidden.items()})
        rows = await self._find(_TICKETS, tenant_id, (subject, description), ticket_id=ticket_id, forbidden=named)
        return [SimilarTicket(**row) for row in rows]

    async def documents(self, tenant_id: str, subject: str, description: str) -> list[Document]:
        """Return the passages of the tenant's knowledge base that have most in common with this text, best first."""
        return [Document(**row) for row in await self._find(_DOCUMENTS, tenant_id, (subject, description))]

    async def _find(self, question: TextClause, tenant_id: str, about: tuple[str, str], **values: Any) -> Sequence[Row]:
        values |= {"words": _words(*about), "least": _LEAST_RANK, "most": _MOST_FOUND}
        async with self._slots.take(tenant_id):
            (found,) = await self._database.call_as(tenant_id, question, **values)
        return found


def _words(subject: str, description: str) -> str:
    """Return a text search query for any of the words, the subject's first."""
    words = list(dict.fromkeys(word.lower() for word in _WORD.findall(f"{subject} {description[:4000]}")))
    return " | ".join(words[:_MOST_WORDS])
