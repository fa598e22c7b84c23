"""A job that failed while its note may be in the ticket has done the ticket, as one that is completed has."""

from alembic import op

from storage.migrations.versions.v0005_holds import CLAIM

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_BEFORE = CLAIM.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION")
# Else a desk that stores each note and answers with a failure, and fires at each change, would have a paid note for
# each. Where the last look found that there is none, the next webhook is the ticket's chance.
_DONE = """AND (o.state = 'completed' OR (
                          o.state = 'failed' AND o.note_attempted_at IS NOT NULL
                          AND o.reason IS DISTINCT FROM 'ServiceDesk Plus API: note did not arrive'))"""
_NOW = _BEFORE.replace("AND o.state = 'completed'", _DONE)


def upgrade() -> None:
    op.execute(_NOW)


def downgrade() -> None:
    op.execute(_BEFORE)
