"""By tenant, the jobs that wait for their turn; and new functions."""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None
FUNCTIONS = "97574b6b674f7ecec0244b13b270177df9a942d8274a00dab75c1364ad8a079d"
"""The digest of `storage/functions.sql`."""


def upgrade() -> None:
    # Nobody but the functions called it; `remember_deliveries` is in its place.
    op.execute("DROP FUNCTION IF EXISTS remember_delivery")
    # By a hash of the tenant: a claim looks for the next tenant from any place on, and names that resemble each other
    # must not stand together.
    op.execute(
        "CREATE INDEX jobs_turns ON jobs (hashtext(tenant_id), tenant_id, due_at)"
        " WHERE state = 'waiting' AND published_at IS NOT NULL"
    )


def downgrade() -> None:
    op.execute("DROP INDEX jobs_turns")
