"""Whom a desk names for a copied ticket, so that they can be masked before its text goes to a model."""

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None
FUNCTIONS = "be76c3babecb761682fb95367bff26131e40146088edbe8ac0c582b290323d5d"
"""The digest of `storage/functions.sql`."""


def upgrade() -> None:
    op.execute("ALTER TABLE tickets ADD COLUMN people jsonb NOT NULL DEFAULT '[]'")


def downgrade() -> None:
    op.execute("ALTER TABLE tickets DROP COLUMN people")
