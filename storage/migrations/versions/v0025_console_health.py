"""An index of webhooks that were missed, for the pages of the console; and new functions."""

from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None
FUNCTIONS = "60c6f817fcf86ba8591b431ef8867d60f31d530e461a7aa49c60dfd588bfe10c"
"""The digest of `storage/functions.sql`."""


def upgrade() -> None:
    # What a job was made of, or nobody was to send, is not in it.
    op.execute(
        "CREATE INDEX missing_webhooks_missed ON missing_webhooks (tenant_id, missed_at)"
        " WHERE missed_at <> seen_at AND job_id IS NULL"
    )


def downgrade() -> None:
    op.execute("DROP FUNCTION IF EXISTS missed_webhooks_of_all, due_jobs_of_all")
    op.execute("DROP INDEX missing_webhooks_missed")
