"""What was forgotten, without saying what it was, and whose a copy or an answer is, without saying who."""

from alembic import context, op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

# `requester`: a keyed hash of the address, empty where the ticket names none, null where it was not looked at.
_TABLES = """
ALTER TABLE tickets ADD COLUMN requester bytea;
ALTER TABLE jobs ADD COLUMN requester bytea;

CREATE TABLE tombstone_keys (
    tenant_id text PRIMARY KEY,
    key bytea NOT NULL
);

CREATE TABLE tombstones (
    tenant_id text NOT NULL,
    hash bytea NOT NULL,
    left_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, hash)
);
"""
# As in 0001.
_POLICIES = """
ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_only ON {table} TO {role}
    USING (tenant_id = nullif(current_setting('app.tenant_id', true), ''))
    WITH CHECK (tenant_id = nullif(current_setting('app.tenant_id', true), ''));
CREATE POLICY owner_functions ON {table} TO CURRENT_USER USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {role};
"""
_TENANT_TABLES = ("tombstone_keys", "tombstones")


def upgrade() -> None:
    role = context.config.attributes["application_role"]
    op.execute(_TABLES)
    for table in _TENANT_TABLES:
        op.execute(_POLICIES.format(table=table, role=role))


def downgrade() -> None:
    for table in _TENANT_TABLES:
        op.execute(f"DROP TABLE {table}")
    op.execute("ALTER TABLE jobs DROP COLUMN requester")
    op.execute("ALTER TABLE tickets DROP COLUMN requester")
