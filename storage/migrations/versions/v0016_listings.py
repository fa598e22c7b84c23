"""What a desk lists, and how far it is copied: all of its history, not its newest tickets alone; and new functions."""

from alembic import context, op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None
FUNCTIONS = "18a8f0c9ba291da148e12b31cd6486560f4afb36b2c67c63165816424f2095d9"
"""The digest of `storage/functions.sql`."""

_COLUMNS = """
ALTER TABLE tickets ADD COLUMN created_at timestamptz, ADD COLUMN conversation text NOT NULL DEFAULT '';
ALTER TABLE passages ADD COLUMN topic text;
"""
# A row is written at each pass over a desk's lists: there is room on its page, and no index has what changes then.
_TABLES = """
CREATE TABLE listings (
    tenant_id text NOT NULL,
    collection "char" NOT NULL,
    item_id text NOT NULL,
    told text NOT NULL,
    created_at timestamptz,
    changed_at timestamptz,
    listed_at timestamptz,
    seen_at timestamptz NOT NULL,
    read_at timestamptz,
    to_read timestamptz,
    PRIMARY KEY (tenant_id, collection, item_id)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
CREATE INDEX listings_to_read ON listings (tenant_id, collection, to_read DESC) WHERE to_read IS NOT NULL;
CREATE TABLE passes (
    tenant_id text NOT NULL,
    collection "char" NOT NULL,
    began_at timestamptz,
    next_start integer NOT NULL DEFAULT 1,
    last_created timestamptz,
    in_order boolean NOT NULL DEFAULT true,
    complete_from timestamptz,
    complete_at timestamptz,
    ended_at timestamptz,
    missing integer NOT NULL DEFAULT 0,
    changes_until timestamptz,
    rules text NOT NULL DEFAULT '',
    held_by uuid,
    held_until timestamptz,
    PRIMARY KEY (tenant_id, collection)
) WITH (fillfactor = 50);
"""
_POLICIES = """
ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_only ON {table} TO {role}
    USING (tenant_id = nullif(current_setting('app.tenant_id', true), ''))
    WITH CHECK (tenant_id = nullif(current_setting('app.tenant_id', true), ''));
CREATE POLICY owner_functions ON {table} TO CURRENT_USER USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {role};
"""


def upgrade() -> None:
    role = context.config.attributes["application_role"]
    op.execute(_COLUMNS)
    op.execute(_TABLES)
    for table in ("listings", "passes"):
        op.execute(_POLICIES.format(table=table, role=role))


def downgrade() -> None:
    op.execute("DROP TABLE listings, passes")
    op.execute("ALTER TABLE tickets DROP COLUMN created_at, DROP COLUMN conversation")
    op.execute("ALTER TABLE passages DROP COLUMN topic")
