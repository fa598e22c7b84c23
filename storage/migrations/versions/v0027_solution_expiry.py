"""When solutions expire."""

from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None
FUNCTIONS = "a5825deed7ea2c8b201b7f7a948bb9381f8d8798949113d2d2614cbff382727c"
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
