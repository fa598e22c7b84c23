"""Jobs, delivery keys, rejections, tickets and passages, under row-level security."""

from alembic import context, op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_TABLES = """
CREATE TABLE jobs (
    id uuid PRIMARY KEY,
    tenant_id text NOT NULL,
    ticket_id text NOT NULL,
    event text,
    state text NOT NULL DEFAULT 'waiting'
        CHECK (state IN ('waiting', 'running', 'completed', 'skipped', 'failed')),
    reason text,
    attempt integer NOT NULL DEFAULT 0,
    traceparent text,
    accepted_at timestamptz NOT NULL DEFAULT now(),
    due_at timestamptz NOT NULL DEFAULT now(),
    deadline_at timestamptz NOT NULL,
    published_at timestamptz,
    started_at timestamptz,
    finished_at timestamptz,
    lease_owner text,
    lease_until timestamptz,
    enhancement jsonb,
    model text,
    note_attempted_at timestamptz,
    note_id text
);
CREATE INDEX jobs_by_ticket ON jobs (tenant_id, ticket_id, accepted_at DESC);
CREATE INDEX jobs_waiting ON jobs (due_at) WHERE state = 'waiting';
CREATE INDEX jobs_running ON jobs (lease_until) WHERE state = 'running';

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
    words tsvector NOT NULL GENERATED ALWAYS AS (
        setweight(to_tsvector('english', subject), 'A') ||
        to_tsvector('english', description || ' ' || resolution)) STORED,
    PRIMARY KEY (tenant_id, ticket_id)
);

CREATE TABLE passages (
    tenant_id text NOT NULL,
    source_id text NOT NULL,
    position integer NOT NULL,
    title text NOT NULL,
    body text NOT NULL,
    synced_at timestamptz NOT NULL DEFAULT now(),
    words tsvector NOT NULL GENERATED ALWAYS AS (
        setweight(to_tsvector('english', title), 'A') || to_tsvector('english', body)) STORED,
    PRIMARY KEY (tenant_id, source_id, position)
);
"""

# Row-level security is forced, so the owner is held to it as well: its own policy is what lets the functions below,
# which run as the owner, look across tenants. The application's role sees one tenant at a time, and none by default.
_POLICIES = """
ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_only ON {table} TO {role}
    USING (tenant_id = nullif(current_setting('app.tenant_id', true), ''))
    WITH CHECK (tenant_id = nullif(current_setting('app.tenant_id', true), ''));
CREATE POLICY owner_functions ON {table} TO CURRENT_USER USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {role};
"""

# Each function gives ids, tenants, ticket numbers, counts and trace contexts; never text of a ticket or an answer.
_FUNCTIONS = """
CREATE FUNCTION claim_job(p_id uuid, p_owner text, p_lease_seconds double precision)
RETURNS TABLE (tenant_id text, ticket_id text, attempt integer, traceparent text, waiting_since timestamptz,
               claimed_at timestamptz, deadline_at timestamptz, started_before boolean,
               answered boolean, note_attempted_at timestamptz)
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH free AS (
        SELECT j.id, j.started_at IS NOT NULL AS started_before,
               CASE WHEN j.state = 'waiting' THEN j.due_at ELSE j.lease_until END AS since
        FROM jobs j
        WHERE j.id = p_id AND j.deadline_at > now()
        AND ((j.state = 'waiting' AND j.due_at <= now()) OR (j.state = 'running' AND j.lease_until < now()))
        FOR UPDATE
    )
    UPDATE jobs j
    SET state = 'running', attempt = j.attempt + 1, lease_owner = p_owner, started_at = clock_timestamp(),
        lease_until = clock_timestamp() + make_interval(secs => p_lease_seconds)
    FROM free WHERE j.id = free.id
    RETURNING j.tenant_id, j.ticket_id, j.attempt, j.traceparent, free.since, j.started_at, j.deadline_at,
              free.started_before, j.enhancement IS NOT NULL, j.note_attempted_at
$$;

CREATE FUNCTION job_state(p_id uuid) RETURNS TABLE (tenant_id text, state text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT j.tenant_id, j.state FROM jobs j WHERE j.id = p_id
$$;

-- Jobs whose worker fell silent: back to waiting.
CREATE FUNCTION recover_jobs(p_most integer)
RETURNS TABLE (id uuid, tenant_id text, ticket_id text, attempt integer, traceparent text)
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE jobs j SET state = 'waiting', due_at = now(), published_at = NULL, lease_owner = NULL, lease_until = NULL
    WHERE j.id IN (SELECT r.id FROM jobs r WHERE r.state = 'running' AND r.lease_until < now()
                   AND r.deadline_at > now() ORDER BY r.lease_until LIMIT p_most FOR UPDATE SKIP LOCKED)
    RETURNING j.id, j.tenant_id, j.ticket_id, j.attempt, j.traceparent
$$;

-- Jobs that are due and have no message in Redis: marked as published, to be published now.
CREATE FUNCTION take_due_jobs(p_most integer)
RETURNS TABLE (id uuid, tenant_id text, ticket_id text, attempt integer, traceparent text)
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE jobs j SET published_at = clock_timestamp()
    WHERE j.id IN (SELECT w.id FROM jobs w WHERE w.state = 'waiting' AND w.published_at IS NULL AND w.due_at <= now()
                   ORDER BY w.due_at LIMIT p_most FOR UPDATE SKIP LOCKED)
    RETURNING j.id, j.tenant_id, j.ticket_id, j.attempt, j.traceparent
$$;

-- How many jobs should have a message in Redis (those published in the last seconds are not looked at), the oldest of
-- them, and those whose message was lost, to be published again; two relays never take the same one.
CREATE FUNCTION count_published_jobs() RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT count(*) FROM jobs j WHERE j.state = 'waiting' AND j.published_at < now() - interval '3 seconds'
    AND j.due_at <= now()
$$;

CREATE FUNCTION published_jobs(p_most integer) RETURNS TABLE (id uuid, published_seconds double precision)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT j.id, extract(epoch FROM now() - j.published_at) FROM jobs j
    WHERE j.state = 'waiting' AND j.published_at < now() - interval '3 seconds' AND j.due_at <= now()
    ORDER BY j.due_at LIMIT p_most
$$;

CREATE FUNCTION take_lost_jobs(p_ids uuid[])
RETURNS TABLE (id uuid, tenant_id text, ticket_id text, attempt integer, traceparent text)
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE jobs j SET published_at = clock_timestamp()
    WHERE j.id IN (SELECT w.id FROM jobs w WHERE w.id = ANY (p_ids) AND w.state = 'waiting'
                   AND w.published_at < now() - interval '3 seconds' ORDER BY w.due_at FOR UPDATE SKIP LOCKED)
    RETURNING j.id, j.tenant_id, j.ticket_id, j.attempt, j.traceparent
$$;

CREATE FUNCTION unpublish_jobs(p_ids uuid[]) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE jobs j SET published_at = NULL WHERE j.id = ANY (p_ids) AND j.state = 'waiting'
$$;

-- Jobs past their deadline that no worker holds.
CREATE FUNCTION expire_jobs(p_most integer, p_reason text)
RETURNS TABLE (id uuid, tenant_id text, ticket_id text, attempt integer, traceparent text)
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE jobs j SET state = 'failed', finished_at = now(), lease_owner = NULL, lease_until = NULL,
        reason = CASE WHEN j.reason IS NULL THEN p_reason ELSE p_reason || ' (last: ' || j.reason || ')' END
    WHERE j.id IN (SELECT o.id FROM jobs o WHERE o.deadline_at < now()
                   AND (o.state = 'waiting' OR (o.state = 'running' AND o.lease_until < now()))
                   ORDER BY o.deadline_at LIMIT p_most FOR UPDATE SKIP LOCKED)
    RETURNING j.id, j.tenant_id, j.ticket_id, j.attempt, j.traceparent
$$;

-- Delivery keys that ran out, rejections older than a week.
CREATE FUNCTION purge_short_lived() RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    DELETE FROM delivery_keys WHERE expires_at < now();
    DELETE FROM rejections WHERE rejected_at < now() - interval '7 days';
$$;
"""
_FUNCTION_SIGNATURES = (
    "claim_job(uuid, text, double precision)",
    "job_state(uuid)",
    "recover_jobs(integer)",
    "take_due_jobs(integer)",
    "count_published_jobs()",
    "published_jobs(integer)",
    "take_lost_jobs(uuid[])",
    "unpublish_jobs(uuid[])",
    "expire_jobs(integer, text)",
    "purge_short_lived()",
)
_TENANT_TABLES = ("jobs", "delivery_keys", "rejections", "tickets", "passages")


def upgrade() -> None:
    role = context.config.attributes["application_role"]
    op.execute(_TABLES)
    for table in _TENANT_TABLES:
        op.execute(_POLICIES.format(table=table, role=role))
    op.execute(_FUNCTIONS)
    for signature in _FUNCTION_SIGNATURES:
        op.execute(f"REVOKE ALL ON FUNCTION {signature} FROM PUBLIC")
        op.execute(f"GRANT EXECUTE ON FUNCTION {signature} TO {role}")
    # The application checks at its start that it was migrated.
    op.execute(f"GRANT USAGE ON SCHEMA public TO {role}")
    op.execute(f"GRANT SELECT ON alembic_version TO {role}")


def downgrade() -> None:
    for signature in _FUNCTION_SIGNATURES:
        op.execute(f"DROP FUNCTION {signature}")
    for table in reversed(_TENANT_TABLES):
        op.execute(f"DROP TABLE {table}")
