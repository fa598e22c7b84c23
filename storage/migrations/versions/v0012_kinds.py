"""What the desk says of a copied ticket's category, group and template; and new functions."""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None
FUNCTIONS = "9262cc352991b88d5914417ddce5970698ca60a8ff33d7aa70fdbcaeefeec866"
"""The digest of `storage/functions.sql`."""


def upgrade() -> None:
    # Null, or without one of the three: not known. Copies of before are filled by the syncs.
    op.execute("ALTER TABLE tickets ADD COLUMN kinds jsonb")


def downgrade() -> None:
    op.execute("ALTER TABLE tickets DROP COLUMN kinds")
