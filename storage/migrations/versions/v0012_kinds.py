"""What the desk says of a copied ticket's category, group and template."""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None
FUNCTIONS = "eb1181c529966a1cf963ab2098c5c4866ef8ac9cb6dde290c3d599ef8fae617c"
"""The digest of `storage/functions.sql`, which this does not change."""


def upgrade() -> None:
    # Null, or without one of the three: not known. Copies of before are filled by the syncs.
    op.execute("ALTER TABLE tickets ADD COLUMN kinds jsonb")


def downgrade() -> None:
    op.execute("ALTER TABLE tickets DROP COLUMN kinds")
