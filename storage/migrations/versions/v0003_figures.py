"""What metrics ask across tenants; and jobs past their deadline whose note may be there are looked at once more."""

from alembic import context, op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_FUNCTION = """
-- Jobs that have not ended, how long the longest due one has waited (seconds), and those a minute past their deadline.
CREATE FUNCTION job_figures()
RETURNS TABLE (waiting bigint, running bigint, oldest_waiting_seconds double precision, without_outcome bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT count(*) FILTER (WHERE j.state = 'waiting'), count(*) FILTER (WHERE j.state = 'running'),
           coalesce(extract(epoch FROM now() - min(j.due_at) FILTER (WHERE j.state = 'waiting' AND j.due_at <= now())),
                    0)::double precision,
           count(*) FILTER (WHERE j.deadline_at < now() - interval '1 minute')
    FROM jobs j WHERE j.state IN ('waiting', 'running')
$$;
"""

# As in 0001, but for those whose note an attempt may have posted: they get five minutes for an attempt that only looks,
# which is the one after the eighth.
_EXPIRE = """
CREATE OR REPLACE FUNCTION expire_jobs(p_most integer, p_reason text)
RETURNS TABLE (id uuid, tenant_id text, ticket_id text, attempt integer, traceparent text)
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH overdue AS (
        SELECT o.id, o.note_attempted_at IS NOT NULL AND o.attempt < 8 AS may_be_there
        FROM jobs o WHERE o.deadline_at < now()
        AND (o.state = 'waiting' OR (o.state = 'running' AND o.lease_until < now()))
        ORDER BY o.deadline_at LIMIT p_most FOR UPDATE SKIP LOCKED
    ), looked_at AS (
        UPDATE jobs j SET state = 'waiting', attempt = 8, due_at = now(), published_at = NULL,
            lease_owner = NULL, lease_until = NULL, deadline_at = now() + interval '5 minutes'
        FROM overdue o WHERE o.id = j.id AND o.may_be_there
    )
    UPDATE jobs j SET state = 'failed', finished_at = now(), lease_owner = NULL, lease_until = NULL,
        reason = CASE WHEN j.reason IS NULL THEN p_reason ELSE p_reason || ' (last: ' || j.reason || ')' END
    FROM overdue o WHERE o.id = j.id AND NOT o.may_be_there
    RETURNING j.id, j.tenant_id, j.ticket_id, j.attempt, j.traceparent
$$;
"""
_EXPIRE_BEFORE = """
CREATE OR REPLACE FUNCTION expire_jobs(p_most integer, p_reason text)
RETURNS TABLE (id uuid, tenant_id text, ticket_id text, attempt integer, traceparent text)
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE jobs j SET state = 'failed', finished_at = now(), lease_owner = NULL, lease_until = NULL,
        reason = CASE WHEN j.reason IS NULL THEN p_reason ELSE p_reason || ' (last: ' || j.reason || ')' END
    WHERE j.id IN (SELECT o.id FROM jobs o WHERE o.deadline_at < now()
                   AND (o.state = 'waiting' OR (o.state = 'running' AND o.lease_until < now()))
                   ORDER BY o.deadline_at LIMIT p_most FOR UPDATE SKIP LOCKED)
    RETURNING j.id, j.tenant_id, j.ticket_id, j.attempt, j.traceparent
$$;
"""


def upgrade() -> None:
    role = context.config.attributes["application_role"]
    op.execute(_FUNCTION)
    op.execute(_EXPIRE)
    op.execute("REVOKE ALL ON FUNCTION job_figures() FROM PUBLIC")
    op.execute(f"GRANT EXECUTE ON FUNCTION job_figures() TO {role}")


def downgrade() -> None:
    op.execute(_EXPIRE_BEFORE)
    op.execute("DROP FUNCTION job_figures()")
