"""How far each tenant's new tickets are compared with the jobs, and those that no webhook has come of."""

from alembic import context, op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None
FUNCTIONS = "e9788919741d7ebd15e425beff7b8dbbfe5ba9bbeda9539371f08e965075726d"
"""The digest of `storage/functions.sql`."""

_TABLES = """
CREATE TABLE reconciliations (
    tenant_id text PRIMARY KEY,
    first_seen_at timestamptz NOT NULL DEFAULT now(),
    since timestamptz NOT NULL,
    compared_until timestamptz NOT NULL,
    compared_at timestamptz NOT NULL DEFAULT now(),
    notes_until timestamptz NOT NULL DEFAULT now(),
    last_webhook_at timestamptz,
    told_at timestamptz NOT NULL DEFAULT now(),
    missed integer NOT NULL DEFAULT 0,
    recovered integer NOT NULL DEFAULT 0,
    notes_removed integer NOT NULL DEFAULT 0,
    reopened integer NOT NULL DEFAULT 0
);
CREATE TABLE missing_webhooks (
    tenant_id text NOT NULL,
    ticket_id text NOT NULL,
    display_id text,
    created_at timestamptz NOT NULL,
    seen_at timestamptz NOT NULL,
    tells_all boolean NOT NULL,
    left_out boolean NOT NULL DEFAULT false,
    missed_at timestamptz,
    job_id uuid,
    recovered_at timestamptz,
    PRIMARY KEY (tenant_id, ticket_id)
);
CREATE INDEX missing_webhooks_by_age ON missing_webhooks (seen_at);
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
_NAMES = ("reconciliations", "missing_webhooks")


def upgrade() -> None:
    op.execute(_TABLES)
    for table in _NAMES:
        op.execute(_POLICIES.format(table=table, role=context.config.attributes["application_role"]))


def downgrade() -> None:
    # Its body names a table that goes.
    op.execute("DROP FUNCTION IF EXISTS purge_short_lived")
    for table in _NAMES:
        op.execute(f"DROP TABLE {table}")
