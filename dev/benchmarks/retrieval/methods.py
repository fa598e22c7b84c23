"""Retrieval methods: ours, Postgres' full text, and the peers' environment."""

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import NamedTuple, Self

import psycopg

from cli.pilot.postgres import Postgres
from cli.pilot.programs import ROOT
from db.migrate import migrate
from db.session import Database
from dev.benchmarks.machine import python_of
from dev.benchmarks.retrieval.sets import Article, Incoming, Resolved
from integrations.plain_text import lines_of, unwrapped
from knowledge import repository
from knowledge.embedding_sync import embed_some
from knowledge.embeddings import EmbeddedQuery, Embedder, LocalModel
from knowledge.language import languages_of
from knowledge.models import Document, SimilarTicket
from knowledge.search import EmbedQuery, PostgresSearch, no_embedding

TENANT = "acme"
MAX = 10
_WORDS = """
    SELECT t.ticket_id FROM tickets t, to_tsquery('english', %s) query
    WHERE to_tsvector('english', t.subject || ' ' || t.description || ' ' || t.resolution) @@ query
    ORDER BY ts_rank(to_tsvector('english', t.subject || ' ' || t.description || ' ' || t.resolution), query) DESC,
        t.ticket_id LIMIT %s
"""


class Found(NamedTuple):
    """The finds of one query."""

    tickets: Sequence[SimilarTicket]
    documents: Sequence[Document]


def desk_text(text: str) -> str:
    """Return a text as from a desk's answer: HTML as lines, without its wrapping."""
    return unwrapped(lines_of(text))


@cache
def embedded() -> Embedder:
    return Embedder(LocalModel())


async def embed_query(_tenant_id: str, text: str, language: str, _people: object) -> EmbeddedQuery:
    return await embedded().embed_query(text, language)


class CopiesInPostgres:
    """Tickets and documents in an embedded Postgres, searched as in production."""

    def __init__(self, folder: Path, tickets: Sequence[Resolved], articles: Sequence[Article] = ()) -> None:
        self.server = Postgres(folder)
        self._tickets, self._articles = tickets, articles

    def __enter__(self) -> Self:
        self.server.start()
        migrate(self.server.admin_url, self.server.url)
        self.add(self._tickets, self._articles)
        return self

    def __exit__(self, *_: object) -> None:
        self.server.discard()

    @asynccontextmanager
    async def _database(self) -> AsyncIterator[Database]:
        database = Database(self.server.url, application_name="benchmark")
        try:
            yield database
        finally:
            await database.close()

    def add(self, tickets: Sequence[Resolved], articles: Sequence[Article] = ()) -> None:
        asyncio.run(self._add(tickets, articles))

    async def _add(self, tickets: Sequence[Resolved], articles: Sequence[Article]) -> None:
        async with self._database() as database:
            for ticket in tickets:
                copy = {"ticket_id": ticket.id, "subject": ticket.subject, "description": desk_text(ticket.description)}
                copy |= {"resolution": desk_text(ticket.resolution), "status": "Closed"}
                await repository.save_ticket(database, TENANT, copy)
            for article in articles:
                await repository.save_passages(database, TENANT, article.id, article.title, [article.text])

    def embed(self) -> None:
        """Embed all texts as housekeeping does."""
        asyncio.run(self._embed())

    async def _embed(self) -> None:
        async with self._database() as database:
            while (await embed_some(database, TENANT, embedded()))[1]:
                pass

    def search_all(self, queries: Sequence[Incoming], embed: EmbedQuery = no_embedding) -> dict[str, Found]:
        """Return the best finds of each query, however weak."""
        return asyncio.run(self._search_all(queries, embed))

    async def _search_all(self, queries: Sequence[Incoming], embed: EmbedQuery) -> dict[str, Found]:
        results = {}
        async with self._database() as database:
            search = PostgresSearch(database, 2, embedding_of=embed, most=MAX, least=0.0)
            for query in queries:
                texts = (query.subject, desk_text(query.description))
                similar = await search.similar_tickets(TENANT, "", *texts, {})
                results[query.id] = Found(similar, await search.documents(TENANT, *texts))
        return results

    def by_full_text(self, queries: Sequence[Incoming]) -> dict[str, list[str]]:
        """Return ticket ids by Postgres' full text for any of the words, best first."""
        results = {}
        with psycopg.connect(self.server.superuser_url) as connection:
            for query in queries:
                words = dict.fromkeys(f"{query.subject} {query.description}".lower().split())
                pattern = " | ".join("".join(filter(str.isalnum, word)) for word in words)
                pattern = " | ".join(word for word in pattern.split(" | ") if word) or "nothing"
                results[query.id] = [str(row[0]) for row in connection.execute(_WORDS, (pattern, MAX))]
        return results


def peers(
    tickets: Sequence[Resolved], queries: Sequence[Incoming], *, unwrap: bool
) -> Mapping[str, Mapping[str, Sequence[str]]]:
    """Return each peer's ticket ids by query; `unwrap` gives them our input."""
    clean = desk_text if unwrap else str

    def row(subject: str, text: str) -> list[str]:
        return [subject, text, languages_of(f"{subject} {text}")[0]]

    texts = {
        "documents": [row(item.subject, f"{clean(item.description)} {clean(item.resolution)}") for item in tickets],
        "queries": [row(query.subject, clean(query.description)) for query in queries],
    }
    answer = subprocess.run(
        [str(python_of("bench")), str(ROOT / "dev" / "benchmarks" / "peers" / "retrieval.py")],
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        check=True,
    )
    return {
        name: {query.id: [tickets[at].id for at in places] for query, places in zip(queries, rankings, strict=True)}
        for name, rankings in json.loads(answer.stdout).items()
    }
