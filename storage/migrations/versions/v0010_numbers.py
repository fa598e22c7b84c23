"""A ticket's two numbers: the desk's id, and the one that people see."""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None
FUNCTIONS = "eb1181c529966a1cf963ab2098c5c4866ef8ac9cb6dde290c3d599ef8fae617c"

# Empty where the number that is there already is the only one, or the other one is not known.
_COLUMNS = """
ALTER TABLE jobs ADD COLUMN desk_id text, ADD COLUMN display_id text;
ALTER TABLE tickets ADD COLUMN display_id text;
CREATE INDEX jobs_by_desk_id ON jobs (tenant_id, desk_id) WHERE desk_id IS NOT NULL;
CREATE INDEX jobs_by_display_id ON jobs (tenant_id, display_id) WHERE display_id IS NOT NULL;
"""


def upgrade() -> None:
    op.execute(_COLUMNS)


def downgrade() -> None:
    op.execute("ALTER TABLE tickets DROP COLUMN display_id")
    op.execute("ALTER TABLE jobs DROP COLUMN desk_id, DROP COLUMN display_id")
