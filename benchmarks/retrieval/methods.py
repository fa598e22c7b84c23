"""Retrieval methods: ours, Postgres' full text, and the peers' environment."""

import asyncio
import json
import subprocess
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import psycopg

from benchmarks.environments import python_of
from benchmarks.retrieval.sets import Article, Incoming, Resolved
from devstack.postgres import Postgres
from devstack.programs import PROJECT
from housekeeping.embedding import embed_some
from integrations.embeddings import AskedText, Embedder, LocalModel
from integrations.values import Document, SimilarTicket
from retrieval.markup import lines_of
from retrieval.wrapping import unwrapped
from storage import history
from storage.meaning import Ask, ask_for_none
from storage.migrating import migrate
from storage.search import SearchInPostgres
from storage.session import Database

TENANT = "acme"
MOST = 10
_WORDS = """
    SELECT t.ticket_id FROM tickets t, to_tsquery('english', %s) query
    WHERE to_tsvector('english', t.subject || ' ' || t.description || ' ' || t.resolution) @@ query
    ORDER BY ts_rank(to_tsvector('english', t.subject || ' ' || t.description || ' ' || t.resolution), query) DESC,
        t.ticket_id LIMIT %s
"""


class Find(NamedTuple):
    """A found text: its id and its strength."""

    id: str
    strength: float


def said(text: str) -> str:
    """Return a text as from a desk's answer: HTML as lines, without its wrapping."""
    return unwrapped(lines_of(text))


@cache
def embedded() -> Embedder:
    return Embedder(LocalModel())


async def _ask(_tenant_id: str, text: str, language: str, _people: object) -> AskedText:
    return await embedded().asked(text, language)


class CopiesInPostgres:
    """Tickets and documents in an embedded Postgres, copied and searched as in production."""

    def __init__(self, folder: Path, tickets: Sequence[Resolved], articles: Sequence[Article] = ()) -> None:
        self._server = Postgres(folder)
        self._server.start()
        migrate(self._server.admin_url, self._server.url)
        asyncio.run(self._fill(tickets, articles))
        self._embedding_of: Ask = ask_for_none

    @property
    def url(self) -> str:
        return self._server.url

    def close(self) -> None:
        self._server.stop()
        self._server.discard()

    async def _fill(self, tickets: Sequence[Resolved], articles: Sequence[Article]) -> None:
        database = Database(self._server.url, application_name="benchmark")
        try:
            for one in tickets:
                copy = {"ticket_id": one.id, "subject": one.subject, "description": said(one.description)}
                copy |= {"resolution": said(one.resolution), "status": "Closed"}
                await history.save_ticket(database, TENANT, copy)
            for article in articles:
                await history.save_passages(database, TENANT, article.id, article.title, [article.text])
        finally:
            await database.close()

    def embed(self) -> None:
        """Embed all texts as housekeeping does."""
        asyncio.run(self._embed())
        self._embedding_of = _ask

    async def _embed(self) -> None:
        database = Database(self._server.url, application_name="benchmark")
        try:
            while (await embed_some(database, TENANT, embedded()))[1]:
                pass
        finally:
            await database.close()

    def tickets(self, queries: Sequence[Incoming]) -> dict[str, list[Find]]:
        async def ask(search: SearchInPostgres, subject: str, description: str) -> list[Find]:
            found = await search.similar_tickets(TENANT, "", subject, description, {})
            return [Find(ticket.ticket_id, ticket.strength) for ticket in found]

        return asyncio.run(self._found(queries, ask))

    def documents(self, queries: Sequence[Incoming]) -> dict[str, list[Find]]:
        """Return each query's documents with strengths, by title."""

        async def ask(search: SearchInPostgres, subject: str, description: str) -> list[Find]:
            found = await search.documents(TENANT, subject, description)
            return [Find(document.title, document.strength) for document in found]

        return asyncio.run(self._found(queries, ask))

    async def _found(
        self,
        queries: Sequence[Incoming],
        ask: Callable[[SearchInPostgres, str, str], Awaitable[list[Find]]],
    ) -> dict[str, list[Find]]:
        database = Database(self._server.url, application_name="benchmark")
        search = SearchInPostgres(database, 2, embedding_of=self._embedding_of, most=MOST, least=0.0)
        try:
            return {asked.id: await ask(search, asked.subject, said(asked.description)) for asked in queries}
        finally:
            await database.close()

    def offered(self, queries: Sequence[Incoming]) -> dict[str, tuple[list[SimilarTicket], list[Document]]]:
        """Return the strong finds that a worker passes to the model, by query."""
        return asyncio.run(self._offered(queries))

    async def _offered(self, queries: Sequence[Incoming]) -> dict[str, tuple[list[SimilarTicket], list[Document]]]:
        database = Database(self._server.url, application_name="benchmark")
        search, found = SearchInPostgres(database, 2, embedding_of=self._embedding_of), {}
        try:
            for asked in queries:
                about = (asked.subject, said(asked.description))
                alike = await search.similar_tickets(TENANT, "", *about, {})
                found[asked.id] = alike, await search.documents(TENANT, *about)
        finally:
            await database.close()
        return found

    def by_full_text(self, queries: Sequence[Incoming]) -> dict[str, list[str]]:
        """Return ticket ids found by Postgres' full text for any of the words, best first."""
        found = {}
        with psycopg.connect(self._server.superuser_url) as connection:
            for asked in queries:
                words = dict.fromkeys(f"{asked.subject} {asked.description}".lower().split())
                query = " | ".join("".join(filter(str.isalnum, word)) for word in words)
                query = " | ".join(word for word in query.split(" | ") if word) or "nothing"
                found[asked.id] = [str(row[0]) for row in connection.execute(_WORDS, (query, MOST))]
        return found


def peers(
    tickets: Sequence[Resolved], queries: Sequence[Incoming], *, unwrap: bool
) -> Mapping[str, Mapping[str, Sequence[str]]]:
    """Return each peer's ticket ids by query; `unwrap` gives them the same input as ours."""
    clean = said if unwrap else str
    given = {
        "documents": [[one.subject, f"{clean(one.description)} {clean(one.resolution)}"] for one in tickets],
        "queries": [[asked.subject, clean(asked.description)] for asked in queries],
    }
    answer = subprocess.run(
        [str(python_of("bench")), str(PROJECT / "benchmarks" / "peers" / "retrieval.py")],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        check=True,
    )
    return {
        name: {asked.id: [tickets[at].id for at in places] for asked, places in zip(queries, rankings, strict=True)}
        for name, rankings in json.loads(answer.stdout).items()
    }
