"""What the desk says of a copied ticket's category, group and template; and new functions."""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None
FUNCTIONS = "6bc988cbcb6de59816f49379e880c5b6b3c81da5f6c140f01f340641801a3c04"
"""The digest of `storage/functions.sql`."""


def upgrade() -> None:
    # Null, or without one of the three: not known. Copies of before are filled by the syncs.
    op.execute("ALTER TABLE tickets ADD COLUMN kinds jsonb")


def downgrade() -> None:
    op.execute("ALTER TABLE tickets DROP COLUMN kinds")
