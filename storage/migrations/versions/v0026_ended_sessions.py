"""Console sessions that were ended by a logout; their purge."""

from alembic import context, op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None
FUNCTIONS = "c46de07fdc799e1288afa8e9b2bf5097b9d9b7c39fc83882c9fdbcb4751084dc"
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
    op.execute("DROP FUNCTION IF EXISTS purge_short_lived")
    op.execute("DROP TABLE ended_sessions")
