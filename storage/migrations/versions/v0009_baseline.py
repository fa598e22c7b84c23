"""All tables, under row-level security. `storage/functions.sql` is applied after this and later ones."""

from alembic import context, op

revision = "0009"
down_revision = None
branch_labels = None
depends_on = None
FUNCTIONS = "5873589c2b513fd994d587645446cdc5615f56d0ab5ac3387817919703ab4852"
"""The digest of `storage/functions.sql`, whose every change takes a number: a process checks it at its start."""

_TABLES = """
CREATE TABLE jobs (
    id uuid PRIMARY KEY,
    tenant_id text NOT NULL,
    ticket_id text NOT NULL,
    event text,
    state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'running', 'completed', 'skipped', 'failed')),
    reason text,
    attempt integer NOT NULL DEFAULT 0,
    traceparent text,
    accepted_at timestamptz NOT NULL DEFAULT now(),
    due_at timestamptz NOT NULL DEFAULT now(),
    deadline_at timestamptz NOT NULL,
    published_at timestamptz,
    started_at timestamptz,
    finished_at timestamptz,
    retried_at timestamptz,
    lease_owner text,
    lease_until timestamptz,
    claim_token uuid,
    enhancement jsonb,
    model text,
    note_attempted_at timestamptz,
    note_id text,
    seen_open_at timestamptz,
    failure_noted_at timestamptz,
    requester bytea
);
CREATE INDEX jobs_by_ticket ON jobs (tenant_id, ticket_id, accepted_at DESC);
CREATE INDEX jobs_by_age ON jobs (accepted_at DESC);
CREATE INDEX jobs_waiting ON jobs (due_at) WHERE state = 'waiting';
CREATE INDEX jobs_running ON jobs (lease_until) WHERE state = 'running';
CREATE INDEX jobs_ended ON jobs (finished_at) WHERE finished_at IS NOT NULL;
CREATE INDEX jobs_ended_with_text ON jobs (finished_at) WHERE finished_at IS NOT NULL AND enhancement IS NOT NULL;

CREATE TABLE job_events (
    job_id uuid NOT NULL,
    id bigint GENERATED ALWAYS AS IDENTITY,
    tenant_id text NOT NULL,
    attempt integer NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    what text NOT NULL,
    reason text,
    PRIMARY KEY (job_id, id)
);

CREATE TABLE delivery_keys (
    tenant_id text NOT NULL,
    key text NOT NULL,
    job_id uuid NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, key)
);
CREATE INDEX delivery_keys_by_expiry ON delivery_keys (expires_at);

CREATE TABLE rejections (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id text NOT NULL,
    ticket_id text,
    status integer NOT NULL,
    reason text NOT NULL,
    rejected_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX rejections_by_tenant ON rejections (tenant_id, rejected_at DESC);

CREATE TABLE tickets (
    tenant_id text NOT NULL,
    ticket_id text NOT NULL,
    subject text NOT NULL,
    description text NOT NULL,
    resolution text NOT NULL,
    status text NOT NULL,
    synced_at timestamptz NOT NULL DEFAULT now(),
    seen_at timestamptz NOT NULL DEFAULT now(),
    words tsvector NOT NULL GENERATED ALWAYS AS (
        setweight(to_tsvector('english', subject), 'A') ||
        to_tsvector('english', description || ' ' || resolution)) STORED,
    requester bytea,
    PRIMARY KEY (tenant_id, ticket_id)
);

CREATE TABLE passages (
    tenant_id text NOT NULL,
    source_id text NOT NULL,
    position integer NOT NULL,
    title text NOT NULL,
    body text NOT NULL,
    synced_at timestamptz NOT NULL DEFAULT now(),
    seen_at timestamptz NOT NULL DEFAULT now(),
    words tsvector NOT NULL GENERATED ALWAYS AS (
        setweight(to_tsvector('english', title), 'A') || to_tsvector('english', body)) STORED,
    PRIMARY KEY (tenant_id, source_id, position)
);

CREATE TABLE tombstone_keys (
    tenant_id text PRIMARY KEY,
    key bytea NOT NULL
);

CREATE TABLE tombstones (
    tenant_id text NOT NULL,
    hash bytea NOT NULL,
    left_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, hash)
);
"""

# Row-level security is forced, so the owner is held to it as well: its own policy is what lets the functions that run
# as the owner look across tenants. The application's role sees one tenant at a time, and none by default.
_POLICIES = """
ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_only ON {table} TO {role}
    USING (tenant_id = nullif(current_setting('app.tenant_id', true), ''))
    WITH CHECK (tenant_id = nullif(current_setting('app.tenant_id', true), ''));
CREATE POLICY owner_functions ON {table} TO CURRENT_USER USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {role};
"""
_TENANT_TABLES = (
    *("jobs", "job_events", "delivery_keys", "rejections"),
    *("tickets", "passages", "tombstone_keys", "tombstones"),
)


def upgrade() -> None:
    role = context.config.attributes["application_role"]
    op.execute(_TABLES)
    for table in _TENANT_TABLES:
        op.execute(_POLICIES.format(table=table, role=role))
    # The application checks at its start that it was migrated.
    op.execute(f"GRANT USAGE ON SCHEMA public TO {role}")
    op.execute(f"GRANT SELECT ON alembic_version TO {role}")


def downgrade() -> None:
    for table in reversed(_TENANT_TABLES):
        op.execute(f"DROP TABLE {table}")
