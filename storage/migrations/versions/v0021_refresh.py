"""Why a job made a further note, when a ticket was seen closed after it, and records of what was asked in vain."""

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None
FUNCTIONS = "34ff01e736643657adbeaa58b691327ddb3e0cdebb30baad58aa20e8b8a8a3ba"
"""The digest of `storage/functions.sql`."""


def upgrade() -> None:
    op.execute("ALTER TABLE jobs ADD COLUMN refresh text, ADD COLUMN seen_closed_at timestamptz")
    op.execute("ALTER TABLE tickets ADD COLUMN resolution_seen_at timestamptz")
    op.execute("ALTER TABLE audit_records ALTER COLUMN answer DROP NOT NULL, ADD COLUMN reason text")


def downgrade() -> None:
    op.execute("DROP FUNCTION IF EXISTS begin_refresh, tenants_with_records, tell_of_attempt, signs_of_work")
    op.execute("ALTER TABLE jobs DROP COLUMN refresh, DROP COLUMN seen_closed_at")
    op.execute("ALTER TABLE tickets DROP COLUMN resolution_seen_at")
    op.execute("DELETE FROM audit_records WHERE answer IS NULL")
    op.execute("ALTER TABLE audit_records ALTER COLUMN answer SET NOT NULL, DROP COLUMN reason")
