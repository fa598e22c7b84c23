"""When solutions expire."""

from alembic import op

revision = "0027"
down_revision = "0025"
branch_labels = None
depends_on = None
FUNCTIONS = "60c6f817fcf86ba8591b431ef8867d60f31d530e461a7aa49c60dfd588bfe10c"
"""The digest of `storage/functions.sql`."""


def upgrade() -> None:
    op.execute("ALTER TABLE passages ADD COLUMN expires_at timestamptz")
    # Each copied solution is read again: nobody has noted its expiry yet. After new ones, as `listings` has it.
    op.execute(
        "UPDATE listings SET to_read = to_timestamp(0) WHERE collection = 'p' AND to_read IS NULL"
        " AND read_at IS NOT NULL"
    )


def downgrade() -> None:
    op.execute("ALTER TABLE passages DROP COLUMN expires_at")
