"""New functions: the time for which a job waits for its tenant's share is not counted against its deadline."""

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None
FUNCTIONS = "754b186fc70b3c03d7ae4d5da9bb7b8b5207b62ef237691a1c91b754895d57dc"
"""The digest of `storage/functions.sql`."""


def upgrade() -> None:
    """No table changes."""


def downgrade() -> None:
    """No table changes."""
