"""What each tenant's jobs have spent on the model by day."""

from alembic import context, op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None
FUNCTIONS = "eb1181c529966a1cf963ab2098c5c4866ef8ac9cb6dde290c3d599ef8fae617c"
"""The digest of `storage/functions.sql`, which this does not change."""

_TABLE = """
CREATE TABLE spending (
    tenant_id text NOT NULL,
    day date NOT NULL,
    tokens bigint NOT NULL DEFAULT 0,
    dollars double precision NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, day)
);
ALTER TABLE spending ENABLE ROW LEVEL SECURITY;
ALTER TABLE spending FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_only ON spending TO {role}
    USING (tenant_id = nullif(current_setting('app.tenant_id', true), ''))
    WITH CHECK (tenant_id = nullif(current_setting('app.tenant_id', true), ''));
CREATE POLICY owner_functions ON spending TO CURRENT_USER USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON spending TO {role};
"""


def upgrade() -> None:
    op.execute(_TABLE.format(role=context.config.attributes["application_role"]))


def downgrade() -> None:
    op.execute("DROP TABLE spending")
