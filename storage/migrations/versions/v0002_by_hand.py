"""What operating by hand and purging by age ask across tenants."""

from alembic import context, op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_INDEXES = """
CREATE INDEX jobs_by_age ON jobs (accepted_at DESC);
CREATE INDEX jobs_ended ON jobs (finished_at) WHERE finished_at IS NOT NULL;
CREATE INDEX jobs_ended_with_text ON jobs (finished_at) WHERE finished_at IS NOT NULL AND enhancement IS NOT NULL;
"""
_INDEX_NAMES = ("jobs_by_age", "jobs_ended", "jobs_ended_with_text")

# The purges go in batches, each a short transaction of its own; a row that somebody holds just now waits for the next.
_FUNCTIONS = """
-- Jobs, newest first; a null condition is none. `p_since`: something happened to the job since then. Reasons are this
-- system's own words. For operators: ids, states and times, never text of a ticket or an answer.
CREATE FUNCTION list_jobs(p_tenant text, p_ticket text, p_states text[], p_since timestamptz, p_most integer)
RETURNS TABLE (id uuid, tenant_id text, ticket_id text, state text, attempt integer, reason text,
               accepted_at timestamptz, due_at timestamptz, started_at timestamptz, finished_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT j.id, j.tenant_id, j.ticket_id, j.state, j.attempt, j.reason,
           j.accepted_at, j.due_at, j.started_at, j.finished_at
    FROM jobs j
    WHERE (p_tenant IS NULL OR j.tenant_id = p_tenant)
    AND (p_ticket IS NULL OR j.ticket_id = p_ticket)
    AND (p_states IS NULL OR j.state = ANY (p_states))
    AND (p_since IS NULL OR greatest(j.accepted_at, j.due_at, j.started_at, j.finished_at) >= p_since)
    ORDER BY j.accepted_at DESC, j.id DESC LIMIT p_most
$$;

-- The answers of GPT-4, of jobs that ended long ago.
CREATE FUNCTION purge_answers(p_days integer, p_most integer) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH purged AS (
        UPDATE jobs j SET enhancement = NULL
        WHERE j.id IN (SELECT o.id FROM jobs o WHERE o.finished_at < now() - make_interval(days => p_days)
                       AND o.enhancement IS NOT NULL ORDER BY o.finished_at LIMIT p_most FOR UPDATE SKIP LOCKED)
        RETURNING 1
    ) SELECT count(*) FROM purged
$$;

-- Copies of tickets and solutions that the desk has not listed for long.
CREATE FUNCTION purge_tickets(p_days integer, p_most integer) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH purged AS (
        DELETE FROM tickets t
        WHERE (t.tenant_id, t.ticket_id) IN (
            SELECT o.tenant_id, o.ticket_id FROM tickets o WHERE o.synced_at < now() - make_interval(days => p_days)
            LIMIT p_most FOR UPDATE SKIP LOCKED)
        RETURNING 1
    ) SELECT count(*) FROM purged
$$;

CREATE FUNCTION purge_passages(p_days integer, p_most integer) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH purged AS (
        DELETE FROM passages t
        WHERE (t.tenant_id, t.source_id, t.position) IN (
            SELECT o.tenant_id, o.source_id, o.position FROM passages o
            WHERE o.synced_at < now() - make_interval(days => p_days) LIMIT p_most FOR UPDATE SKIP LOCKED)
        RETURNING 1
    ) SELECT count(*) FROM purged
$$;

-- Whole rows of jobs that ended long ago.
CREATE FUNCTION purge_jobs(p_days integer, p_most integer) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH purged AS (
        DELETE FROM jobs j
        WHERE j.id IN (SELECT o.id FROM jobs o WHERE o.finished_at < now() - make_interval(days => p_days)
                       ORDER BY o.finished_at LIMIT p_most FOR UPDATE SKIP LOCKED)
        RETURNING 1
    ) SELECT count(*) FROM purged
$$;
"""
_FUNCTION_SIGNATURES = (
    "list_jobs(text, text, text[], timestamptz, integer)",
    "purge_answers(integer, integer)",
    "purge_tickets(integer, integer)",
    "purge_passages(integer, integer)",
    "purge_jobs(integer, integer)",
)


def upgrade() -> None:
    role = context.config.attributes["application_role"]
    op.execute(_INDEXES)
    op.execute(_FUNCTIONS)
    for signature in _FUNCTION_SIGNATURES:
        op.execute(f"REVOKE ALL ON FUNCTION {signature} FROM PUBLIC")
        op.execute(f"GRANT EXECUTE ON FUNCTION {signature} TO {role}")


def downgrade() -> None:
    for signature in _FUNCTION_SIGNATURES:
        op.execute(f"DROP FUNCTION {signature}")
    for index in _INDEX_NAMES:
        op.execute(f"DROP INDEX {index}")
