"""A new version of `signs_of_work`, and no other change."""

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None
FUNCTIONS = "2a8f7607f87dd9db957a121b63e6bd43cac3737524238d052dda916500334f06"
"""The digest of `storage/functions.sql`."""


def upgrade() -> None:
    """Change no table: `ai-agents migrate` replaces the functions."""


def downgrade() -> None:
    """Change no table."""
