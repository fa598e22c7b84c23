"""Terms of copied tickets and passages, and what finds them by their terms; and new functions."""

from alembic import context, op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None
FUNCTIONS = "c676bea699931efcbcf6a022ab38e306d2dfd4132a951d73524768de04f6e647"
"""The digest of `storage/functions.sql`."""

# Of each text that can be found: a number that postings are kept by, and its terms, which a trigger keeps them from.
# `indexed` is the version of the code that made the terms; 0 is for none.
_COLUMNS = """
ALTER TABLE {table}
    ADD COLUMN search_id bigint GENERATED ALWAYS AS IDENTITY,
    ADD COLUMN terms integer[] NOT NULL DEFAULT '{{}}',
    ADD COLUMN weights real[] NOT NULL DEFAULT '{{}}',
    ADD COLUMN indexed smallint NOT NULL DEFAULT 0;
CREATE UNIQUE INDEX {table}_by_search_id ON {table} (search_id);
CREATE INDEX {table}_unindexed ON {table} (tenant_id, indexed);
"""
# Each row is in the index whole: a search reads nothing else of it, where vacuum has been.
_TABLES = """
CREATE TABLE postings (
    tenant_id text NOT NULL,
    collection "char" NOT NULL,
    term integer NOT NULL,
    weight real NOT NULL,
    document bigint NOT NULL,
    PRIMARY KEY (tenant_id, collection, term, document) INCLUDE (weight)
) WITH (autovacuum_vacuum_insert_scale_factor = 0.02, autovacuum_vacuum_scale_factor = 0.02);
CREATE TABLE term_counts (
    tenant_id text NOT NULL,
    collection "char" NOT NULL,
    term integer NOT NULL,
    documents integer NOT NULL,
    PRIMARY KEY (tenant_id, collection, term)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02);
CREATE TABLE collection_sizes (
    tenant_id text NOT NULL,
    collection "char" NOT NULL,
    documents integer NOT NULL,
    PRIMARY KEY (tenant_id, collection)
) WITH (fillfactor = 50);
"""
_POLICIES = """
ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_only ON {table} TO {role}
    USING (tenant_id = nullif(current_setting('app.tenant_id', true), ''))
    WITH CHECK (tenant_id = nullif(current_setting('app.tenant_id', true), ''));
CREATE POLICY owner_functions ON {table} TO CURRENT_USER USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {role};
"""


def upgrade() -> None:
    role = context.config.attributes["application_role"]
    for table in ("tickets", "passages"):
        op.execute(_COLUMNS.format(table=table))
    op.execute(_TABLES)
    for table in ("postings", "term_counts", "collection_sizes"):
        op.execute(_POLICIES.format(table=table, role=role))


def downgrade() -> None:
    for table in ("tickets", "passages"):
        op.execute(f"DROP TRIGGER IF EXISTS {table}_postings ON {table}")
        op.execute(f"DROP TRIGGER IF EXISTS {table}_old_terms ON {table}")
        op.execute(
            f"ALTER TABLE {table} DROP COLUMN search_id, DROP COLUMN terms, DROP COLUMN weights, DROP COLUMN indexed"
        )
    op.execute("DROP TABLE postings, term_counts, collection_sizes")
