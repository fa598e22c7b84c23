"""What a hold need not do again, what a retry by hand counts from, and whether a ticket has its enhancement."""

from alembic import context, op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_COLUMNS = """
ALTER TABLE jobs
    ADD COLUMN retried_at timestamptz,
    ADD COLUMN seen_open_at timestamptz,
    ADD COLUMN failure_noted_at timestamptz;
"""

# The one before stays for workers of the code before, which do not know the parameters nor the new columns.
#
# A claim asks about the other jobs of its ticket, one claim of a ticket at a time; the second statement sees what was
# committed while it waited for that. None of it holds for a job that a person asked for.
# - `enhanced`: another job has put its note into this ticket.
# - `echo`: another job has just left a failure note there, which may be what the webhook was sent for.
# - `another_first`: another job has to come to its end first: it runs, or may have posted its note, or was accepted
#   earlier. This one then goes on waiting, and what that costs it is added to its deadline, up to a day. A job that may
#   have posted its own note waits for nobody.
CLAIM = """
CREATE FUNCTION claim_job(
    p_id uuid, p_owner text, p_token uuid, p_lease_seconds double precision, p_most_attempts integer,
    p_wait_seconds double precision, p_longest_seconds double precision, p_echo_seconds double precision)
RETURNS TABLE (tenant_id text, ticket_id text, attempt integer, traceparent text, waiting_since timestamptz,
               claimed_at timestamptz, deadline_at timestamptz, started_before boolean, answered boolean,
               note_attempted_at timestamptz, seen_open_at timestamptz, enhanced boolean, echo boolean,
               another_first boolean)
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT pg_advisory_xact_lock(hashtextextended(j.tenant_id || ' ' || j.ticket_id, 0)) FROM jobs j WHERE j.id = p_id;

    WITH free AS (
        SELECT j.id, j.started_at IS NOT NULL AS started_before,
               CASE WHEN j.state = 'waiting' THEN j.due_at ELSE j.lease_until END AS since,
               j.retried_at IS NULL AND j.note_attempted_at IS NULL AND EXISTS (
                   SELECT 1 FROM jobs o WHERE o.tenant_id = j.tenant_id AND o.ticket_id = j.ticket_id AND o.id <> j.id
                   AND (o.state = 'running'
                        OR (o.state = 'waiting' AND (o.note_attempted_at IS NOT NULL
                                                     OR (o.accepted_at, o.id) < (j.accepted_at, j.id))))
               ) AS another_first
        FROM jobs j
        WHERE j.id = p_id AND j.deadline_at > now()
        AND ((j.state = 'waiting' AND j.due_at <= now())
             OR (j.state = 'running' AND j.lease_until < now() AND j.attempt < p_most_attempts))
        FOR UPDATE
    ), waits AS (
        UPDATE jobs j
        SET state = 'waiting', reason = 'another job of this ticket', published_at = NULL, lease_owner = NULL,
            lease_until = NULL, claim_token = NULL, due_at = clock_timestamp() + make_interval(secs => p_wait_seconds),
            deadline_at = greatest(j.deadline_at, least(
                j.deadline_at + (clock_timestamp() - f.since) + make_interval(secs => p_wait_seconds),
                coalesce(j.retried_at, j.accepted_at) + make_interval(secs => p_longest_seconds)))
        FROM free f WHERE j.id = f.id AND f.another_first
        RETURNING j.tenant_id, j.ticket_id, j.attempt, j.traceparent, f.since, clock_timestamp(), j.deadline_at,
                  f.started_before, j.enhancement IS NOT NULL, j.note_attempted_at, j.seen_open_at, false, false, true
    ), runs AS (
        UPDATE jobs j
        SET state = 'running', attempt = j.attempt + 1, lease_owner = p_owner, claim_token = p_token,
            started_at = clock_timestamp(), lease_until = clock_timestamp() + make_interval(secs => p_lease_seconds)
        FROM free f WHERE j.id = f.id AND NOT f.another_first
        RETURNING j.tenant_id, j.ticket_id, j.attempt, j.traceparent, f.since, j.started_at, j.deadline_at,
                  f.started_before, j.enhancement IS NOT NULL, j.note_attempted_at, j.seen_open_at,
                  j.retried_at IS NULL AND EXISTS (
                      SELECT 1 FROM jobs o WHERE o.tenant_id = j.tenant_id AND o.ticket_id = j.ticket_id
                      AND o.id <> j.id AND o.state = 'completed'),
                  j.retried_at IS NULL AND EXISTS (
                      SELECT 1 FROM jobs o WHERE o.tenant_id = j.tenant_id AND o.ticket_id = j.ticket_id
                      AND o.id <> j.id AND j.accepted_at BETWEEN o.failure_noted_at
                          AND o.failure_noted_at + make_interval(secs => p_echo_seconds)),
                  false
    )
    SELECT * FROM waits UNION ALL SELECT * FROM runs
$$;
"""

# Neither waits for a row that somebody holds. Keys stay for an hour after their time: of an event that waited in Redis
# the time is compared with its own, not with the clock.
_UNBLOCKED = """
CREATE OR REPLACE FUNCTION purge_short_lived() RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    DELETE FROM delivery_keys k WHERE (k.tenant_id, k.key) IN (
        SELECT o.tenant_id, o.key FROM delivery_keys o WHERE o.expires_at < now() - interval '1 hour'
        FOR UPDATE SKIP LOCKED);
    DELETE FROM rejections r WHERE r.id IN (
        SELECT o.id FROM rejections o WHERE o.rejected_at < now() - interval '7 days' FOR UPDATE SKIP LOCKED);
$$;

CREATE OR REPLACE FUNCTION unpublish_jobs(p_ids uuid[]) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE jobs j SET published_at = NULL
    WHERE j.id IN (SELECT w.id FROM jobs w WHERE w.id = ANY (p_ids) AND w.state = 'waiting' FOR UPDATE SKIP LOCKED)
$$;
"""
_BEFORE = """
CREATE OR REPLACE FUNCTION purge_short_lived() RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    DELETE FROM delivery_keys WHERE expires_at < now();
    DELETE FROM rejections WHERE rejected_at < now() - interval '7 days';
$$;

CREATE OR REPLACE FUNCTION unpublish_jobs(p_ids uuid[]) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE jobs j SET published_at = NULL WHERE j.id = ANY (p_ids) AND j.state = 'waiting'
$$;
"""
_SIGNATURE = (
    "claim_job(uuid, text, uuid, double precision, integer, double precision, double precision, double precision)"
)


def upgrade() -> None:
    role = context.config.attributes["application_role"]
    op.execute(_COLUMNS)
    op.execute(CLAIM)
    op.execute(_UNBLOCKED)
    op.execute(f"REVOKE ALL ON FUNCTION {_SIGNATURE} FROM PUBLIC")
    op.execute(f"GRANT EXECUTE ON FUNCTION {_SIGNATURE} TO {role}")


def downgrade() -> None:
    op.execute(_BEFORE)
    op.execute(f"DROP FUNCTION {_SIGNATURE}")
    op.execute("ALTER TABLE jobs DROP COLUMN retried_at, DROP COLUMN seen_open_at, DROP COLUMN failure_noted_at")
