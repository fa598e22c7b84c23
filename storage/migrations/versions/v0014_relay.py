"""What the relay looks for each second, by indexes of their own; and new functions."""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None
FUNCTIONS = "e49d3e702d37f2f8374407538ffb1c04f6366a4e65e9ddce7fb5edf69280f1a4"
"""The digest of `storage/functions.sql`."""


def upgrade() -> None:
    # Few jobs at most times, though a million may wait: retries, those that are held, those whose message was lost.
    op.execute(
        "CREATE INDEX jobs_unpublished ON jobs (hashtext(tenant_id), tenant_id, due_at)"
        " WHERE state = 'waiting' AND published_at IS NULL"
    )
    op.execute("CREATE INDEX jobs_deadlines ON jobs (deadline_at) WHERE state IN ('waiting', 'running')")


def downgrade() -> None:
    op.execute("DROP INDEX jobs_deadlines")
    op.execute("DROP INDEX jobs_unpublished")
