"""A job that is retried by hand minds what other jobs of its ticket do since: functions alone."""

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None
FUNCTIONS = "5096f34c2d5657410935eb83686d97122f4f517197395b53b22829d0bf89177e"


def upgrade() -> None:
    pass


def downgrade() -> None:
    pass
