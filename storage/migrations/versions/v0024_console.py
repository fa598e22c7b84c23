"""Indexes of jobs that failed or were skipped, for the pages of the console; and new functions."""

from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None
FUNCTIONS = "474cd42f65926c907b3f19aae84a34efd127123b10e0a8eab965122936ef3c96"
"""The digest of `storage/functions.sql`."""

# A job that is completed, as nearly all are, is in neither.
_INDEXES = """
CREATE INDEX jobs_not_done ON jobs (state, finished_at, id) WHERE state IN ('failed', 'skipped');
CREATE INDEX jobs_not_done_of_tenant ON jobs (tenant_id, state, finished_at, id) WHERE state IN ('failed', 'skipped');
"""


def upgrade() -> None:
    op.execute(_INDEXES)


def downgrade() -> None:
    op.execute("DROP FUNCTION IF EXISTS open_jobs, reasons_of_waiting, causes_of_ends, list_ends, refused_tenants")
    op.execute("DROP INDEX jobs_not_done, jobs_not_done_of_tenant")
