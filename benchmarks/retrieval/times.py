"""Latency of a worker's two searches with many tickets, generated from the set's words."""

import asyncio
import json
import random
import statistics
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple, Self

import psycopg

from benchmarks.retrieval.sets import queries, tickets
from devstack.postgres import Postgres
from retrieval.language import LANGUAGES
from retrieval.markup import lines_of
from retrieval.terms import weighed_terms
from retrieval.wrapping import unwrapped
from storage.history import way_of
from storage.migrating import migrate
from storage.search import SearchInPostgres
from storage.session import Database

_ONE, _OTHERS = "acme", tuple(f"tenant-{number}" for number in range(8))
_WORDS_EACH = 60
_CHUNK = 10_000
_MOST_ASKED = 120
_COPY = (
    "COPY tickets (tenant_id, ticket_id, subject, description, resolution, status, terms, weights, indexed) FROM STDIN"
)
# The trigger's postings, built for a million rows at once.
_POSTINGS = """
INSERT INTO postings (tenant_id, collection, term, weight, document)
    SELECT t.tenant_id, 't', w.term, w.weight, t.search_id FROM tickets t, unnest(t.terms, t.weights) w (term, weight)
    ORDER BY 1, 3, 5;
INSERT INTO term_counts SELECT tenant_id, collection, term, count(*) FROM postings GROUP BY 1, 2, 3;
INSERT INTO collection_sizes SELECT tenant_id, 't', count(*) FROM tickets GROUP BY 1;
INSERT INTO passages (tenant_id, source_id, position, title, body, terms, weights, indexed)
    SELECT tenant_id, ticket_id, 0, subject, description, terms, weights, indexed FROM tickets
    WHERE search_id % 100 = 0;
"""
_WORDS = """
ALTER TABLE tickets ADD COLUMN words tsvector GENERATED ALWAYS AS (setweight(to_tsvector('english', subject), 'A')
    || to_tsvector('english', description || ' ' || resolution)) STORED
"""
_FULL_TEXT = """
    SELECT t.ticket_id FROM tickets t, to_tsquery('english', %s) query
    WHERE t.tenant_id = %s AND t.words @@ query ORDER BY ts_rank(t.words, query) DESC LIMIT 3
"""


class Times(NamedTuple):
    """Milliseconds of both searches for a ticket together."""

    p50: float
    p95: float
    longest: float


class ManyTickets:
    """An embedded Postgres with `own` tickets of one tenant, and `others` of eight more."""

    def __init__(self, folder: Path, own: int, others: int) -> None:
        self._server = Postgres(folder)
        self._own, self._others = own, others

    def __enter__(self) -> Self:
        self._server.start()
        migrate(self._server.admin_url, self._server.url)
        with psycopg.connect(self._server.superuser_url, autocommit=True) as connection:
            connection.execute("ALTER TABLE tickets DISABLE TRIGGER tickets_postings")
            connection.execute(_WORDS)
            with connection.cursor().copy(_COPY) as copy:
                for row in _rows(self._own, self._others):
                    copy.write_row(row)
            connection.execute(_POSTINGS)
            for table in ("postings", "term_counts", "tickets", "passages"):
                connection.execute(f"VACUUM ANALYZE {table}")
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()
        self._server.discard()

    def ours(self, at_once: int) -> Times:
        """Measure both searches for each ticket by `at_once` callers, after a warm-up."""
        return asyncio.run(self._measured(at_once))

    async def _measured(self, at_once: int) -> Times:
        database = Database(self._server.url, application_name="benchmark", pool_size=2 * at_once)
        search, times = SearchInPostgres(database, 2 * at_once), []
        asked = [(one.subject, unwrapped(lines_of(one.description))) for one in queries()][:_MOST_ASKED]
        waiting = iter([*asked, *asked])

        async def caller() -> None:
            for about in waiting:
                began = time.perf_counter()
                await asyncio.gather(search.similar_tickets(_ONE, "", *about, {}), search.documents(_ONE, *about))
                times.append((time.perf_counter() - began) * 1000)

        try:
            await asyncio.gather(*(caller() for _ in range(at_once)))
        finally:
            await database.close()
        return _times(times[len(times) // 2 :])

    def by_full_text(self, most: int = 20) -> Times:
        """Measure Postgres' full text for any of the words, the former search, on tickets only."""
        times = []
        with psycopg.connect(self._server.superuser_url) as connection:
            for one in queries()[:most]:
                words = ["".join(filter(str.isalnum, word)) for word in f"{one.subject} {one.description}".split()]
                query = " | ".join([word for word in words if word][:24])
                began = time.perf_counter()
                connection.execute(_FULL_TEXT, (query, _ONE)).fetchall()
                times.append((time.perf_counter() - began) * 1000)
        return _times(times)


def _times(times: Sequence[float]) -> Times:
    ranked = sorted(times)
    return Times(statistics.median(ranked), ranked[int(len(ranked) * 0.95)], ranked[-1])


def _rows(own: int, others: int) -> Iterator[tuple[object, ...]]:
    """Yield tickets of the set's words at their frequencies.

    A few words are each ticket's own: names, numbers, codes.
    """
    words = [
        word
        for one in tickets()
        for word in f"{one.subject} {unwrapped(lines_of(one.description))} {one.resolution}".split()
    ]
    starts = range(0, own + others, _CHUNK)
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as processes:
        chunks = [processes.submit(_chunk, words, start, min(start + _CHUNK, own + others), own) for start in starts]
        for chunk in chunks:
            yield from chunk.result()


def _chunk(words: Sequence[str], start: int, end: int, own: int) -> list[tuple[object, ...]]:
    chance, rows = random.Random(start), []  # noqa: S311 -- not a secret
    for number in range(start, end):
        tenant = _ONE if number < own else _OTHERS[number % len(_OTHERS)]
        subject = " ".join(chance.choices(words, k=5))
        text = " ".join([*chance.choices(words, k=_WORDS_EACH), f"lap-{number % 9000}", f"user{number % 3000}"])
        terms = weighed_terms(subject, text, "en")
        lists = (json.dumps(list(each)).translate({91: 123, 93: 125}) for each in (terms, terms.values()))
        rows.append((tenant, str(number), subject, text, "Restarted.", "Closed", *lists, way_of(LANGUAGES)))
    return rows
