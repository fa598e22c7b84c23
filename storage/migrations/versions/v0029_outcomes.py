"""An index of the jobs that a success rate is of, by when they ended; and a new version of `outcomes_of_tenants`."""

from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None
FUNCTIONS = "50303468c6eb989192a0b549dce197b8f9f364fd9897ab5f9336c30b18283deb"
"""The digest of `storage/functions.sql`."""


def upgrade() -> None:
    op.execute(
        "CREATE INDEX jobs_done_of_tenant ON jobs (tenant_id, finished_at DESC) INCLUDE (state)"
        " WHERE state IN ('completed', 'failed')"
    )


def downgrade() -> None:
    op.execute("DROP INDEX jobs_done_of_tenant")
