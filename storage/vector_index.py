"""Vector indexes by model, with pgvector 0.8.

See https://github.com/pgvector/pgvector. The migration creates one for each model that has embeddings by then, since
only the tables' owner can.
"""

from sqlalchemy import Connection, text

_EXTENSION = text("SELECT to_regtype('halfvec') IS NOT NULL")
_MODELS = text("SELECT model, max(octet_length(embedding)) AS dimensions FROM embeddings GROUP BY model")
_THERE = text("SELECT c.relname FROM pg_class c WHERE c.relkind = 'i' AND starts_with(c.relname, :beginning)")
_BEGINNING = "embeddings_near_"
# pgvector's limit for an index of half-precision vectors.
_MOST_DIMENSIONS = 4000
_FUNCTION = """
CREATE OR REPLACE FUNCTION embedding_vector(p_embedding bytea) RETURNS public.halfvec
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT array_agg(CASE WHEN b.value > 127 THEN b.value - 256 ELSE b.value END ORDER BY b.at)::real[]::public.halfvec
    FROM (SELECT n.at, get_byte(p_embedding, n.at) AS value
          FROM generate_series(0, octet_length(p_embedding) - 1) n (at)) b
$$;
REVOKE ALL ON FUNCTION embedding_vector(bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION embedding_vector(bytea) TO {role};
"""
BY_INDEX = text("SELECT to_regclass(:name) IS NOT NULL")
SCAN_WELL = text(
    "SELECT set_config('hnsw.iterative_scan', 'relaxed_order', true), set_config('hnsw.ef_search', '100', true)"
)
"""For one transaction: rows of other tenants lie between those that are sought."""


def name_of(model: int) -> str:
    return f"{_BEGINNING}{model + (1 << 31)}"


def distance(dimensions: int) -> str:
    return f"{_indexed(dimensions)} <=> CAST(:vector AS halfvec({dimensions}))"


def _indexed(dimensions: int) -> str:
    return f"(embedding_vector(embedding)::halfvec({dimensions}))"


def index_embeddings(connection: Connection, role: str) -> None:
    """Create missing indexes, and drop those of unused models.

    `role`: the application's, quoted. Without pgvector it does nothing.
    """
    if not connection.scalar(_EXTENSION):
        return
    connection.exec_driver_sql(_FUNCTION.format(role=role))
    models = {name_of(row.model): row for row in connection.execute(_MODELS) if row.dimensions <= _MOST_DIMENSIONS}
    there = set(connection.scalars(_THERE, {"beginning": _BEGINNING}))
    for name in there - models.keys():
        connection.exec_driver_sql(f"DROP INDEX {name}")
    for name in models.keys() - there:
        model, dimensions = models[name]
        connection.exec_driver_sql(
            f"CREATE INDEX {name} ON embeddings USING hnsw ({_indexed(dimensions)} halfvec_cosine_ops)"
            f" WHERE model = {model}"
        )
