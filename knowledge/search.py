"""Search in the copies of a desk: BM25 in Postgres, and embeddings.

A search reads at most 12,000 postings, rarest terms first, so its cost does not grow from ten thousand to a million
tickets (`find_texts` in functions.sql). It runs under row-level security.

Up to 5,000 embeddings of a collection are compared one by one, in milliseconds. For a larger collection, pgvector's
index is used if there is one, else the newest 5,000 and those that share words with the query. No embedding is cached.
"""

import asyncio
import heapq
import time
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence, Set
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

from psycopg.types.json import Jsonb
from sqlalchemy import TextClause, text

from db.session import Database, Row
from integrations.values import Person
from knowledge.embedding_repository import (
    INDEX_EXISTS,
    SCAN_SETTINGS,
    distance,
    index_name,
)
from knowledge.language import LANGUAGES, languages_of
from knowledge.models import Document, SimilarTicket, people_kept
from knowledge.terms import MIN, WordMatch, query_terms, strength_by_both, without_noise


class TenantSlots:
    """A semaphore that serves tenants round-robin, and a tenant's callers FIFO."""

    def __init__(self, slots: int) -> None:
        self._free = slots
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()
        """Tenants in the order of their turns. A slot is free only while no caller waits."""

    @asynccontextmanager
    async def take(self, tenant_id: str) -> AsyncIterator[None]:
        if self._free:
            self._free -= 1
        else:
            await self._wait(tenant_id)
        try:
            yield
        finally:
            self._release()

    async def _wait(self, tenant_id: str) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(tenant_id, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                self._release()  # the slot was assigned just when its task was cancelled
            raise

    def _release(self) -> None:
        while self._waiting:
            tenant_id, line = next(iter(self._waiting.items()))
            turn = line.popleft()
            if not line:
                del self._waiting[tenant_id]
            if not turn.done():
                if line:
                    self._waiting.move_to_end(tenant_id)
                turn.set_result(None)
                return
            # A cancelled caller does not use up its tenant's turn.
        self._free += 1


MAX_COMPARED = 5000
_INDEX_CHECK_SECONDS = 60.0
# Nearest copies to rank, as a multiple of `candidates`: copies without common words are ranked by nearness alone.
_NEAREST_FACTOR = 2
_QUERY_PARAMETERS = "CAST(:terms AS integer[]), CAST(:weights AS real[]), CAST(:words AS integer[])"
FIND_TEXTS = f"find_texts(:collection, {_QUERY_PARAMETERS}, :budget, :candidates)"
FOUND = text(f"SELECT document, score, asked, known, texts FROM {FIND_TEXTS}")  # noqa: S608 -- a constant
_STORED = "SELECT e.document, e.language, e.embedding FROM embeddings e WHERE e.collection = :collection"
NEWEST = text(f"{_STORED} AND e.model = :model ORDER BY e.document DESC LIMIT :compared").execution_options(binary=True)
_BY_DOCUMENT = text(f"{_STORED} AND e.model = :model AND e.document = ANY (CAST(:documents AS bigint[]))")
_LARGE = "EXISTS (SELECT FROM collection_sizes s WHERE s.collection = :collection AND s.documents > :compared)"


@lru_cache
def _nearest(model: int, dimensions: int) -> TextClause:
    # The model as a literal: the planner does not match a parameter to the model's partial index.
    return text(f"""
        ({_STORED} AND NOT {_LARGE} AND e.model = :model LIMIT :compared) UNION ALL
        ({_STORED} AND {_LARGE} AND e.model = {model} ORDER BY {distance(dimensions)} LIMIT :candidates)
    """).execution_options(binary=True)


class QueryEmbedding(Protocol):
    """The embedding of a search text."""

    model: int
    language: str

    @property
    def vector(self) -> Sequence[float]:
        """The direction of the query, one number per dimension."""
        ...

    def nearness(self, documents: bytes) -> Sequence[float]:
        """Return the nearness to each of the concatenated embeddings."""
        ...


EmbedQuery = Callable[[str, str, str, Sequence[Person]], Awaitable[QueryEmbedding | None]]
"""Returns the embedding of a tenant's text: tenant, text, language, people named in it.

None for a tenant without embeddings, and while they are unavailable.
"""


class RankedCopies(NamedTuple):
    """Copies with their strengths, best first."""

    documents: list[int]
    strengths: list[float]


async def no_embedding(_tenant_id: str, _text: str, _language: str, _people: Sequence[Person]) -> None:
    """Return no embedding, for any tenant."""


class EmbeddingRanking:
    """Ranks copies by words and embeddings; compares at most `compared` one by one."""

    def __init__(self, database: Database, *, compared: int = MAX_COMPARED) -> None:
        self._database = database
        self._compared = compared
        self._indexed: dict[int, tuple[bool, float]] = {}

    async def rank(self, tenant_id: str, query: QueryEmbedding, parameters: Mapping[str, Any]) -> RankedCopies:
        """Rank copies that share words with the query, and the nearest ones.

        `parameters`: parameters of `find_texts`; `candidates` is the number of results.
        """
        values = {**parameters, "model": query.model, "compared": self._compared}
        queries = [FOUND, NEWEST]
        if await self._is_indexed(query.model):
            queries = [FOUND, SCAN_SETTINGS, _nearest(query.model, len(query.vector))]
            values["vector"] = str(list(query.vector))
        matches, *_, compared = await self._database.call_as(tenant_id, *queries, **values)
        words, texts = len(set(parameters["words"])), next((row["texts"] for row in matches), len(compared))
        weighed = {row["document"]: _match(row).strength(words) for row in matches}
        missing = list(weighed.keys() - {row["document"] for row in compared})
        if missing:
            (missing_rows,) = await self._database.call_as(tenant_id, _BY_DOCUMENT, **values, documents=missing)
            compared = [*compared, *missing_rows]
        # Embeddings of refused texts are empty.
        compared = [row for row in compared if row["embedding"]]
        nearness = await asyncio.to_thread(query.nearness, b"".join(row["embedding"] for row in compared))
        nearest = heapq.nlargest(
            _NEAREST_FACTOR * parameters["candidates"], zip(nearness, range(len(compared)), strict=True)
        )
        by_words = [(near, at) for at, near in enumerate(nearness) if compared[at]["document"] in weighed]
        for near, at in {*nearest, *by_words}:
            document, one_language = compared[at]["document"], compared[at]["language"] == query.language
            weighed[document] = strength_by_both(
                weighed.get(document, 0.0), near, one_language=one_language, texts=texts, words=words
            )
        best = heapq.nsmallest(parameters["candidates"], weighed, key=lambda document: (-weighed[document], -document))
        return RankedCopies(best, [weighed[document] for document in best])

    async def _is_indexed(self, model: int) -> bool:
        is_indexed, until = self._indexed.get(model, (False, 0.0))
        if time.monotonic() >= until:
            is_indexed = bool(await self._database.call_for_one(INDEX_EXISTS, name=index_name(model)))
            self._indexed[model] = is_indexed, time.monotonic() + _INDEX_CHECK_SECONDS
        return is_indexed


_MAX_FOUND = 3
_BUDGET = 12_000
"""Postings that one search reads, half a microsecond each. With 2,000, recall is lower by 0.04."""
# Candidates, from which the ticket itself and excluded ones are removed.
_MAX_CANDIDATES = 100

_WEIGHED = "unnest(CAST(:documents AS bigint[]), CAST(:strengths AS float8[])) f (document, score)"
# A copy without a value for a forbidden kind is excluded: its value may be a forbidden one.
_TICKETS = """
    SELECT t.ticket_id, t.subject, coalesce(nullif(t.conversation, ''), t.resolution) AS resolution,
        coalesce(t.display_id, '') AS display_id, t.created_at, coalesce(t.kinds ->> 'category', '') AS category,
        coalesce(t.kinds ->> 'group', '') AS "group", coalesce(t.kinds ->> 'priority', '') AS priority, t.people,
        left(t.description, 1500) AS problem, {strength}
    FROM {found} JOIN tickets t ON t.search_id = f.document
    WHERE t.ticket_id <> :ticket_id
    AND (SELECT coalesce(bool_and(coalesce(NOT k.names ? (t.kinds ->> k.kind), false)), true)
         FROM jsonb_each(:forbidden) k (kind, names))
    ORDER BY f.score DESC, t.ticket_id LIMIT :most
"""
_DOCUMENTS = """
    SELECT p.title, p.body AS text, p.expires_at,
        CASE WHEN starts_with(p.source_id, 'file:') THEN '' ELSE p.source_id END AS solution_id, {strength}
    FROM {found} JOIN passages p ON p.search_id = f.document
    WHERE (p.topic IS NULL OR p.topic <> ALL (CAST(:topics AS text[])))
    AND (p.expires_at IS NULL OR p.expires_at > now())
    ORDER BY f.score DESC, p.source_id, p.position LIMIT :most
"""
_SELECTS = {"t": _TICKETS, "p": _DOCUMENTS}
_BY_WORDS = {
    of: text(each.format(found=f"{FIND_TEXTS} f", strength="f.score, f.asked, f.known, f.texts"))
    for of, each in _SELECTS.items()
}
_BY_STRENGTH = {of: text(each.format(found=_WEIGHED, strength="f.score AS strength")) for of, each in _SELECTS.items()}

# Cached, because both searches of a job use the same text: saves 1 % of the job's CPU time.
_query_terms = lru_cache(maxsize=16)(query_terms)


class PostgresSearch:
    """Searches, `most_at_once` at a time, on the process's pool, which job writes use too.

    Tenants take turns, so that a small one does not wait for all jobs of a large one. `languages_of_tenant` returns the
    languages of a tenant's texts; `embedding_of` embeds a query. A search returns at most `most` results with a
    strength of at least `least`. Each method raises one of DATABASE_FAILURES.
    """

    def __init__(
        self,
        database: Database,
        most_at_once: int,
        languages_of_tenant: Callable[[str], Sequence[str]] = lambda _: LANGUAGES,
        embedding_of: EmbedQuery = no_embedding,
        *,
        most: int = _MAX_FOUND,
        least: float = MIN,
    ) -> None:
        self._database = database
        self._slots = TenantSlots(most_at_once)
        self._languages = languages_of_tenant
        self._embedding_of = embedding_of
        self._ranking = EmbeddingRanking(database)
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

        `ticket_id` is the desk's id, by which tickets are copied. Excludes tickets with a name in `forbidden` (kind ->
        names), or without a known name of that kind. The names of `people`, those of the ticket, are hidden from the
        embeddings' endpoint.
        """
        names = Jsonb({kind: list(names) for kind, names in forbidden.items()})
        about = (subject, description)
        rows = await self._find("t", tenant_id, about, people, ticket_id=ticket_id, forbidden=names)
        return [SimilarTicket(**row | {"people": people_kept(row["people"])}) for row in rows]

    async def documents(
        self,
        tenant_id: str,
        subject: str,
        description: str,
        never_topics: Set[str] = frozenset(),
        people: Sequence[Person] = (),
    ) -> list[Document]:
        """Return passages of the tenant's knowledge base, best first.

        Expired solutions, and topics in `never_topics` (normalised as in rules), are left out.
        """
        rows = await self._find("p", tenant_id, (subject, description), people, topics=list(never_topics))
        return [Document(**row) for row in rows]

    async def _find(
        self, collection: str, tenant_id: str, about: tuple[str, str], people: Sequence[Person], **values: Any
    ) -> list[dict[str, Any]]:
        cleaned = (without_noise(about[0], people), without_noise(about[1], people))
        about = cleaned if "".join(cleaned).strip() else about
        languages = languages_of(" ".join(about), self._languages(tenant_id))
        query = _query_terms(*about, tuple(languages))
        parameters: dict[str, Any] = {"collection": collection, "budget": _BUDGET, "candidates": _MAX_CANDIDATES}
        parameters |= query._asdict()
        embedding = await self._embedding_of(tenant_id, "\n".join(about), languages[0], people)
        if not query.terms and embedding is None:
            return []
        values |= {"most": self._most}
        async with self._slots.take(tenant_id):
            if embedding is None:
                (rows,) = await self._database.call_as(tenant_id, _BY_WORDS[collection], **parameters, **values)
                results = [_weighed(row, query.word_count) for row in rows]
            else:
                weighed = await self._ranking.rank(tenant_id, embedding, parameters)
                (rows,) = await self._database.call_as(
                    tenant_id, _BY_STRENGTH[collection], **weighed._asdict(), **values
                )
                results = [dict(row) for row in rows]
        return [result for result in results if result["strength"] >= self._least]


def _match(row: Row) -> WordMatch:
    return WordMatch(*(row[name] for name in WordMatch._fields))


def _weighed(row: Row, words: int) -> dict[str, Any]:
    fields = {name: value for name, value in row.items() if name not in WordMatch._fields}
    return fields | {"strength": _match(row).strength(words)}
