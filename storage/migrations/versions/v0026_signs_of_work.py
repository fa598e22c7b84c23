"""A new version of `signs_of_work`, and no other change."""

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None
FUNCTIONS = "d2949f73f2d2b002f7141ec65dfdc4fa80298ef099ab9d5a1e4e2965bedc9cb5"
"""The digest of `storage/functions.sql`."""


def upgrade() -> None:
    """Change no table: `ai-agents migrate` replaces the functions."""


def downgrade() -> None:
    """Change no table."""
