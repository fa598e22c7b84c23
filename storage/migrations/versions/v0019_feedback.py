"""What people said of notes, and how much of them was taken up."""

from alembic import context, op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None
FUNCTIONS = "be76c3babecb761682fb95367bff26131e40146088edbe8ac0c582b290323d5d"
"""The digest of `storage/functions.sql`."""

# It goes with its job, whoever deletes that.
_TABLE = """
CREATE TABLE feedback (
    job_id uuid PRIMARY KEY REFERENCES jobs (id) ON DELETE CASCADE,
    tenant_id text NOT NULL,
    prompt text NOT NULL,
    model text NOT NULL,
    vote text CHECK (vote IN ('useful', 'not useful')),
    reason text,
    voted_at timestamptz,
    taken_up real CHECK (taken_up BETWEEN 0 AND 1),
    taken_up_at timestamptz
);
"""
_POLICIES = """
ALTER TABLE feedback ENABLE ROW LEVEL SECURITY;
ALTER TABLE feedback FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_only ON feedback TO {role}
    USING (tenant_id = nullif(current_setting('app.tenant_id', true), ''))
    WITH CHECK (tenant_id = nullif(current_setting('app.tenant_id', true), ''));
CREATE POLICY owner_functions ON feedback TO CURRENT_USER USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON feedback TO {role};
"""


def upgrade() -> None:
    op.execute(_TABLE)
    op.execute(_POLICIES.format(role=context.config.attributes["application_role"]))


def downgrade() -> None:
    op.execute("DROP TABLE feedback")
