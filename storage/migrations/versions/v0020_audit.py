"""What a model was sent for each job, and what it answered, for tenants that keep a record of it."""

from alembic import context, op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None
FUNCTIONS = "be76c3babecb761682fb95367bff26131e40146088edbe8ac0c582b290323d5d"
"""The digest of `storage/functions.sql`."""

# It does not go with its job: a tenant may keep it for longer than that. So it says itself whose it is.
_TABLE = """
CREATE TABLE audit_records (
    tenant_id text NOT NULL,
    job_id uuid NOT NULL,
    at timestamptz NOT NULL,
    ticket_id text NOT NULL,
    desk_id text,
    display_id text,
    requester bytea,
    prompt text NOT NULL,
    model text NOT NULL,
    host text NOT NULL,
    masking text NOT NULL,
    system text NOT NULL,
    sent text NOT NULL,
    answer jsonb NOT NULL,
    sources jsonb NOT NULL,
    input_tokens bigint NOT NULL,
    output_tokens bigint NOT NULL,
    cost double precision,
    seconds double precision NOT NULL,
    PRIMARY KEY (tenant_id, job_id, at)
);
CREATE INDEX audit_records_by_age ON audit_records (tenant_id, at);
CREATE INDEX audit_records_by_ticket ON audit_records (tenant_id, ticket_id);
CREATE INDEX audit_records_by_desk_id ON audit_records (tenant_id, desk_id) WHERE desk_id IS NOT NULL;
CREATE INDEX audit_records_by_display_id ON audit_records (tenant_id, display_id) WHERE display_id IS NOT NULL;
"""
_POLICIES = """
ALTER TABLE audit_records ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_records FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_only ON audit_records TO {role}
    USING (tenant_id = nullif(current_setting('app.tenant_id', true), ''))
    WITH CHECK (tenant_id = nullif(current_setting('app.tenant_id', true), ''));
CREATE POLICY owner_functions ON audit_records TO CURRENT_USER USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON audit_records TO {role};
"""


def upgrade() -> None:
    op.execute(_TABLE)
    op.execute(_POLICIES.format(role=context.config.attributes["application_role"]))


def downgrade() -> None:
    op.execute("DROP TABLE audit_records")
