"""Indexes for what is asked all the time, so that it costs as much with many rows as with few; and new functions."""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None
FUNCTIONS = "780c2b0029d5311390663f76777593e68c80eb38e567040dcbacac322b62ee7d"
"""The digest of `storage/functions.sql`."""

# The relay looks each second for jobs that are due and have no message, and would pass by all that have one.
_INDEXES = """
CREATE INDEX jobs_published ON jobs (due_at) WHERE state = 'waiting' AND published_at IS NOT NULL;
CREATE INDEX jobs_unpublished ON jobs (due_at) WHERE state = 'waiting' AND published_at IS NULL;
CREATE INDEX jobs_unpublished_turns ON jobs (hashtext(tenant_id), tenant_id, due_at)
    WHERE state = 'waiting' AND published_at IS NULL;
DROP INDEX jobs_waiting;
CREATE INDEX jobs_by_deadline ON jobs (deadline_at) WHERE state IN ('waiting', 'running');
CREATE INDEX jobs_waiting_again ON jobs (tenant_id, reason) WHERE state = 'waiting' AND reason IS NOT NULL;
CREATE INDEX jobs_failed ON jobs (accepted_at DESC) WHERE state = 'failed';
CREATE INDEX jobs_of_tenant ON jobs (tenant_id, accepted_at DESC);
"""
# By its number first: who looks for a ticket need not know whose it is.
_BY_NUMBER = """
DROP INDEX jobs_by_ticket;
DROP INDEX jobs_by_desk_id;
DROP INDEX jobs_by_display_id;
CREATE INDEX jobs_by_ticket ON jobs ({ticket});
CREATE INDEX jobs_by_desk_id ON jobs ({desk}) WHERE desk_id IS NOT NULL;
CREATE INDEX jobs_by_display_id ON jobs ({display}) WHERE display_id IS NOT NULL;
"""


def upgrade() -> None:
    # At once what dropping needs: relays that look at the table meanwhile would meet us half way.
    op.execute("LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE")
    op.execute(_INDEXES)
    op.execute(
        _BY_NUMBER.format(
            ticket="ticket_id, tenant_id, accepted_at DESC", desk="desk_id, tenant_id", display="display_id, tenant_id"
        )
    )


def downgrade() -> None:
    op.execute(
        _BY_NUMBER.format(
            ticket="tenant_id, ticket_id, accepted_at DESC", desk="tenant_id, desk_id", display="tenant_id, display_id"
        )
    )
    op.execute("CREATE INDEX jobs_waiting ON jobs (due_at) WHERE state = 'waiting'")
    for index in (
        "published",
        "unpublished",
        "unpublished_turns",
        "by_deadline",
        "waiting_again",
        "failed",
        "of_tenant",
    ):
        op.execute(f"DROP INDEX jobs_{index}")
