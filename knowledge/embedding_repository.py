"""Embeddings of copies: missing ones, storage, and pgvector's index (0.8).

An embedding is deleted with its copy, or when the copy's search terms change (`keep_postings` in functions.sql). A text
that the model refused gets an empty one, so that it is not sent again. The migration creates an index for each model
with embeddings (functions.sql), because only the tables' owner can (https://github.com/pgvector/pgvector).
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import text

from db.session import Database
from knowledge.sync_repository import COLLECTIONS, Collection

INDEX_EXISTS = text("SELECT to_regclass(:name) IS NOT NULL")
SCAN_SETTINGS = text(
    "SELECT set_config('hnsw.iterative_scan', 'relaxed_order', true), set_config('hnsw.ef_search', '100', true)"
)
"""For one transaction: rows of other tenants lie between the sought ones."""


def index_name(model: int) -> str:
    return f"embeddings_near_{model + (1 << 31)}"


def distance(dimensions: int) -> str:
    return f"(embedding_vector(embedding)::halfvec({dimensions})) <=> CAST(:vector AS halfvec({dimensions}))"


_TEXTS = {
    "t": "t.ticket_id AS name, t.subject, t.description, coalesce(nullif(t.conversation, ''), t.resolution) AS helped,"
    " t.people FROM tickets t",
    "p": "t.source_id AS name, t.title AS subject, t.body AS description, '' AS helped, '[]'::jsonb AS people"
    " FROM passages t",
}
# Only searchable copies. The newest first, since they are likeliest to be of use.
_UNEMBEDDED = """
    t.terms <> '{{}}' AND NOT EXISTS (SELECT FROM embeddings e WHERE e.collection = '{collection}'
        AND e.document = t.search_id AND e.model = :model)
"""
_NEXT = {
    of: text(f"""
        SELECT t.search_id AS document, t.synced_at, {_TEXTS[of]}
        WHERE {_UNEMBEDDED.format(collection=of)} ORDER BY t.search_id DESC LIMIT :most
    """)
    for of in COLLECTIONS
}
_COUNT_UNEMBEDDED = text(f"""
    SELECT (SELECT count(*) FROM tickets t WHERE {_UNEMBEDDED.format(collection="t")})
        + (SELECT count(*) FROM passages t WHERE {_UNEMBEDDED.format(collection="p")}) AS copies
""")  # noqa: S608 -- constants
# A text that changed or disappeared since it was read gets none.
_SAVE = {
    of: text(f"""
        INSERT INTO embeddings (tenant_id, collection, document, model, language, embedding)
        SELECT current_setting('app.tenant_id'), '{of}', n.document, :model, n.language, n.embedding
        FROM unnest(CAST(:documents AS bigint[]), CAST(:synced AS timestamptz[]), CAST(:languages AS text[]),
            CAST(:embeddings AS bytea[])) n (document, synced_at, language, embedding)
        JOIN {table} t ON t.search_id = n.document AND t.synced_at = n.synced_at
        ORDER BY n.document FOR SHARE OF t
        ON CONFLICT (tenant_id, collection, document) DO UPDATE
        SET model = excluded.model, language = excluded.language, embedding = excluded.embedding
    """)  # noqa: S608 -- constants
    for of, table in (("t", "tickets"), ("p", "passages"))
}
_REMOVE = text("DELETE FROM embeddings")


class UnembeddedCopy(NamedTuple):
    """A copy that has no embedding of a model."""

    document: int
    synced_at: datetime
    name: str
    subject: str
    description: str
    helped: str
    people: Sequence[list[Any]] = ()


async def unembedded_copies(
    database: Database, tenant_id: str, collection: Collection, model: int, most: int
) -> list[UnembeddedCopy]:
    (rows,) = await database.call_as(tenant_id, _NEXT[collection], model=model, most=most)
    return [UnembeddedCopy(**row) for row in rows]


async def count_unembedded(database: Database, tenant_id: str, model: int) -> int:
    ((row,),) = await database.call_as(tenant_id, _COUNT_UNEMBEDDED, model=model)
    return int(row["copies"])


async def save(
    database: Database,
    tenant_id: str,
    collection: Collection,
    model: int,
    embedded: Sequence[tuple[UnembeddedCopy, str, bytes]],
) -> None:
    await database.call_as(
        tenant_id,
        _SAVE[collection],
        model=model,
        documents=[copy.document for copy, _, _ in embedded],
        synced=[copy.synced_at for copy, _, _ in embedded],
        languages=[language for _, language, _ in embedded],
        embeddings=[embedding for _, _, embedding in embedded],
    )


async def remove_all(database: Database, tenant_id: str) -> None:
    await database.call_as(tenant_id, _REMOVE)
