"""Latency of a worker's two searches with many tickets: copies of the set's."""

import asyncio
import statistics
import time
from typing import NamedTuple

import psycopg

from db.session import Database
from dev.benchmarks.retrieval.methods import TENANT, CopiesInPostgres, desk_text
from dev.benchmarks.retrieval.sets import queries
from knowledge.search import PostgresSearch

_MAX_QUERIES = 120
# The trigger's postings are built for a million rows at once.
_COPIED = """
    INSERT INTO tickets (tenant_id, ticket_id, subject, description, resolution, status, terms, weights, indexed)
    SELECT CASE WHEN n <= %(own)s THEN %(tenant)s ELSE 'tenant-' || n %% 8 END, 'copy-' || n,
        t.subject, t.description, t.resolution, t.status, t.terms, t.weights, t.indexed
    FROM generate_series(1, %(own)s + %(others)s) n
    JOIN (SELECT *, row_number() OVER () - 1 AS number, count(*) OVER () AS of_all FROM tickets) t
        ON t.number = n %% t.of_all
"""
_POSTINGS = """
    TRUNCATE postings, term_counts, collection_sizes;
    INSERT INTO postings (tenant_id, collection, term, weight, document)
        SELECT t.tenant_id, 't', w.term, w.weight, t.search_id
        FROM tickets t, unnest(t.terms, t.weights) w (term, weight) ORDER BY 1, 3, 5;
    INSERT INTO term_counts SELECT tenant_id, collection, term, count(*) FROM postings GROUP BY 1, 2, 3;
    INSERT INTO collection_sizes SELECT tenant_id, 't', count(*) FROM tickets GROUP BY 1;
    INSERT INTO passages (tenant_id, source_id, position, title, body, terms, weights, indexed)
        SELECT tenant_id, ticket_id, 0, subject, description, terms, weights, indexed FROM tickets
        WHERE search_id % 100 = 0;
"""


class Times(NamedTuple):
    """Milliseconds of both searches for a ticket together."""

    p50: float
    p95: float
    longest: float


def multiply(copies: CopiesInPostgres, own: int, others: int) -> None:
    """Copy tickets: `own` more for one tenant, and `others` for eight tenants."""
    with psycopg.connect(copies.server.superuser_url, autocommit=True) as connection:
        connection.execute("ALTER TABLE tickets DISABLE TRIGGER tickets_postings")
        connection.execute(_COPIED, {"own": own, "others": others, "tenant": TENANT})
        connection.execute(_POSTINGS)
        for table in (b"postings", b"term_counts", b"tickets", b"passages"):
            connection.execute(b"VACUUM ANALYZE " + table)


def timed(copies: CopiesInPostgres, at_once: int) -> Times:
    return asyncio.run(_timed(copies.server.url, at_once))


async def _timed(url: str, at_once: int) -> Times:
    database = Database(url, application_name="benchmark", pool_size=2 * at_once)
    search, times = PostgresSearch(database, 2 * at_once), []
    texts = [(query.subject, desk_text(query.description)) for query in queries()][:_MAX_QUERIES]
    waiting = iter([*texts, *texts])

    async def caller() -> None:
        for pair in waiting:
            began = time.perf_counter()
            await asyncio.gather(search.similar_tickets(TENANT, "", *pair, {}), search.documents(TENANT, *pair))
            times.append((time.perf_counter() - began) * 1000)

    try:
        await asyncio.gather(*(caller() for _ in range(at_once)))
    finally:
        await database.close()
    ranked = sorted(times[len(times) // 2 :])
    return Times(statistics.median(ranked), ranked[int(len(ranked) * 0.95)], ranked[-1])
