"""Webhooks are recorded together."""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None
FUNCTIONS = "f1ebae641f4d4a6d4e75f0962d082a0087ab58b9e5100a1ad5cfb46ffedf2445"
"""The digest of `storage/functions.sql`."""


def upgrade() -> None:
    # Nobody but the functions called it; `remember_deliveries` is in its place.
    op.execute("DROP FUNCTION IF EXISTS remember_delivery")


def downgrade() -> None:
    """Do nothing: the functions of the release before come with its own `migrate`."""
