"""Search in the copies of a desk (`storage.history`): BM25 in Postgres.

A search reads at most 12,000 postings, rarest terms first, so its cost does not grow from ten thousand to a million
tickets (`find_texts` in functions.sql). It runs under row-level security. Embeddings count too, if the tenant has them
(`storage.meaning`).
"""

from collections.abc import Callable, Mapping, Sequence, Set
from functools import lru_cache
from typing import Any

from psycopg.types.json import Jsonb
from sqlalchemy import text

from integrations.values import Document, SimilarTicket
from privacy.redaction.people import Person
from retrieval.language import LANGUAGES, languages_of
from retrieval.terms import LEAST, asked_terms, strength
from storage.direct import Row
from storage.meaning import FIND_TEXTS, Ask, Meaning, ask_for_none
from storage.people import people_kept
from storage.session import Database
from storage.slots import TenantSlots

_MOST_FOUND = 3
_BUDGET = 12_000
"""Postings that one search reads, each half a microsecond; with 2,000 it finds less by .04 of recall."""
# Candidates, from which the ticket itself and excluded ones are removed.
_MOST_LOOKED_THROUGH = 100

_WEIGHED = "unnest(CAST(:documents AS bigint[]), CAST(:strengths AS float8[])) f (document, score)"
# A copy without one of the kinds is not found: its name may be forbidden.
_TICKETS = """
    SELECT t.ticket_id, t.subject, coalesce(nullif(t.resolution, ''), t.conversation) AS resolution,
        coalesce(t.display_id, '') AS display_id, t.created_at, coalesce(t.kinds ->> 'category', '') AS category,
        coalesce(t.kinds ->> 'group', '') AS "group", t.people, {strength}
    FROM {found} JOIN tickets t ON t.search_id = f.document
    WHERE t.ticket_id <> :ticket_id
    AND (SELECT coalesce(bool_and(coalesce(NOT k.names ? (t.kinds ->> k.kind), false)), true)
         FROM jsonb_each(:forbidden) k (kind, names))
    ORDER BY f.score DESC, t.ticket_id LIMIT :most
"""
_DOCUMENTS = """
    SELECT p.title, p.body AS text, p.expires_at, {strength}
    FROM {found} JOIN passages p ON p.search_id = f.document
    WHERE (p.topic IS NULL OR p.topic <> ALL (CAST(:topics AS text[])))
    AND (p.expires_at IS NULL OR p.expires_at > now())
    ORDER BY f.score DESC, p.source_id, p.position LIMIT :most
"""
_QUESTIONS = {"t": _TICKETS, "p": _DOCUMENTS}
_BY_WORDS = {
    of: text(each.format(found=f"{FIND_TEXTS} f", strength="f.score, f.asked")) for of, each in _QUESTIONS.items()
}
_AS_WEIGHED = {of: text(each.format(found=_WEIGHED, strength="f.score AS strength")) for of, each in _QUESTIONS.items()}

# Both searches of a job use the same text at nearly the same time: a hundredth of its CPU.
_asked_terms = lru_cache(maxsize=16)(asked_terms)


def _all_languages(_tenant_id: str) -> Sequence[str]:
    return LANGUAGES


class SearchInPostgres:
    """Searches on the process's pool, `most_at_once` at a time, to spare job writes.

    Tenants take turns, so that a small one does not wait for all jobs of a large one. `languages_of_tenant` returns the
    languages of its texts, `embedding_of` makes its embeddings. A search returns `most` at most, of a strength of
    `least` or more. Each method raises one of DATABASE_FAILURES.
    """

    def __init__(
        self,
        database: Database,
        most_at_once: int,
        languages_of_tenant: Callable[[str], Sequence[str]] = _all_languages,
        embedding_of: Ask = ask_for_none,
        *,
        most: int = _MOST_FOUND,
        least: float = LEAST,
    ) -> None:
        self._database = database
        self._slots = TenantSlots(most_at_once)
        self._languages = languages_of_tenant
        self._embedding_of = embedding_of
        self._meaning = Meaning(database)
        self._most, self._least = most, least

    async def similar_tickets(
        self,
        tenant_id: str,
        ticket_id: str,
        subject: str,
        description: str,
        forbidden: Mapping[str, Set[str]],
        people: Sequence[Person] = (),
    ) -> list[SimilarTicket]:
        """Return the tenant's most similar resolved tickets, best first.

        `ticket_id`: the desk's id, by which tickets are copied. Tickets with a name in `forbidden` (kind -> names), or
        without a known name of that kind, are left out. `people`: those of the ticket, whose names no endpoint of
        embeddings sees.
        """
        named = Jsonb({kind: list(names) for kind, names in forbidden.items()})
        about = (subject, description)
        rows = await self._find("t", tenant_id, about, people, ticket_id=ticket_id, forbidden=named)
        return [SimilarTicket(**row | {"people": people_kept(row["people"])}) for row in rows]

    async def documents(
        self,
        tenant_id: str,
        subject: str,
        description: str,
        never_topics: Set[str] = frozenset(),
        people: Sequence[Person] = (),
    ) -> list[Document]:
        """Return the best passages of the tenant's knowledge base, best first.

        Expired solutions, and topics in `never_topics` (normalised as in rules), are left out.
        """
        rows = await self._find("p", tenant_id, (subject, description), people, topics=list(never_topics))
        return [Document(**row) for row in rows]

    async def _find(
        self, collection: str, tenant_id: str, about: tuple[str, str], people: Sequence[Person], **values: Any
    ) -> list[dict[str, Any]]:
        languages = languages_of(" ".join(about), self._languages(tenant_id))
        asked = _asked_terms(*about, tuple(languages))
        words: dict[str, Any] = {"collection": collection, "budget": _BUDGET, "through": _MOST_LOOKED_THROUGH}
        words |= asked._asdict()
        embedding = await self._embedding_of(tenant_id, "\n".join(about), languages[0], people)
        if not asked.terms and embedding is None:
            return []
        values |= {"most": self._most}
        async with self._slots.take(tenant_id):
            if embedding is None:
                (rows,) = await self._database.call_as(tenant_id, _BY_WORDS[collection], **words, **values)
                found = [_weighed(row) for row in rows]
            else:
                weighed = await self._meaning.weigh(tenant_id, embedding, words)
                (rows,) = await self._database.call_as(
                    tenant_id, _AS_WEIGHED[collection], **weighed._asdict(), **values
                )
                found = [dict(row) for row in rows]
        return [each for each in found if each["strength"] >= self._least]


def _weighed(row: Row) -> dict[str, Any]:
    found = dict(row)
    return found | {"strength": strength(found.pop("score"), found.pop("asked"))}
