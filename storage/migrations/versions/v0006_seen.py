"""When the desk last showed what is copied, so that a copy of what was deleted there is found out."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# The copies that are there may be of tickets that are long gone: they are asked about first. No table is written anew.
_COLUMN = """
ALTER TABLE {table} ADD COLUMN seen_at timestamptz NOT NULL DEFAULT 'epoch';
ALTER TABLE {table} ALTER COLUMN seen_at SET DEFAULT now();
"""
_TABLES = ("tickets", "passages")


def upgrade() -> None:
    for table in _TABLES:
        op.execute(_COLUMN.format(table=table))


def downgrade() -> None:
    for table in _TABLES:
        op.execute(f"ALTER TABLE {table} DROP COLUMN seen_at")
