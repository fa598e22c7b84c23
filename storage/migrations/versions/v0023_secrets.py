"""Since when secrets are known and which of them prove webhooks; and new functions."""

from alembic import context, op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None
FUNCTIONS = "c991f96c694506679c6ea6c597753ce92d9efdf683daacc2f76d18dc9b5aa819"
"""The digest of `storage/functions.sql`."""

_TABLES = """
CREATE TABLE known_secrets (
    tenant_id text NOT NULL,
    fingerprint bytea NOT NULL,
    setting text NOT NULL,
    first_seen_at timestamptz NOT NULL DEFAULT now(),
    last_seen_at timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz,
    PRIMARY KEY (tenant_id, fingerprint)
);
CREATE TABLE secret_uses (
    tenant_id text NOT NULL,
    fingerprint bytea NOT NULL,
    hour timestamptz NOT NULL,
    uses bigint NOT NULL,
    PRIMARY KEY (tenant_id, fingerprint, hour)
);
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
    op.execute(_TABLES)
    for table in ("known_secrets", "secret_uses"):
        op.execute(_POLICIES.format(table=table, role=role))


def downgrade() -> None:
    op.execute("DROP FUNCTION IF EXISTS know_secrets, purge_secrets")
    op.execute("DROP TABLE known_secrets, secret_uses")
