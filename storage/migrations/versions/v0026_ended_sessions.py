"""Console sessions that were ended by a logout; and new functions."""

from alembic import context, op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None
FUNCTIONS = "a5825deed7ea2c8b201b7f7a948bb9381f8d8798949113d2d2614cbff382727c"
"""The digest of `storage/functions.sql`."""

# Sessions belong to no tenant. An id alone is no cookie: that is signed.
_TABLE = """
CREATE TABLE ended_sessions (
    id text PRIMARY KEY,
    expires_at timestamptz NOT NULL
);
ALTER TABLE ended_sessions ENABLE ROW LEVEL SECURITY;
ALTER TABLE ended_sessions FORCE ROW LEVEL SECURITY;
CREATE POLICY console_only ON ended_sessions TO {role} USING (true) WITH CHECK (true);
CREATE POLICY owner_functions ON ended_sessions TO CURRENT_USER USING (true) WITH CHECK (true);
GRANT SELECT, INSERT ON ended_sessions TO {role};
"""


def upgrade() -> None:
    op.execute(_TABLE.format(role=context.config.attributes["application_role"]))


def downgrade() -> None:
    op.execute("DROP FUNCTION IF EXISTS purge_short_lived, outcomes_of_tenants")
    op.execute("DROP TABLE ended_sessions")
