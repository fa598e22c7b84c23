"""Embeddings of copied tickets and passages, for tenants that want them; and new functions."""

from alembic import context, op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None
FUNCTIONS = "be76c3babecb761682fb95367bff26131e40146088edbe8ac0c582b290323d5d"
"""The digest of `storage/functions.sql`."""

# Not compressed: bytes that are as good as random would only be tried.
_TABLE = """
CREATE TABLE embeddings (
    tenant_id text NOT NULL,
    collection "char" NOT NULL,
    document bigint NOT NULL,
    model integer NOT NULL,
    language text NOT NULL,
    embedding bytea NOT NULL,
    PRIMARY KEY (tenant_id, collection, document)
);
ALTER TABLE embeddings ALTER COLUMN embedding SET STORAGE EXTERNAL;
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
    op.execute(_TABLE)
    op.execute(_POLICIES.format(table="embeddings", role=role))


def downgrade() -> None:
    op.execute("DROP TABLE embeddings")
