"""Each claim has a token of its own; a job whose workers all died ends; retries by hand are told apart."""

from alembic import context, op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# Owner and attempt do not name a claim: a claim that is given back or held back does not count, and a retry by hand
# counts from the start. The token stays in the row when the claim's own write has freed the job, so that this write is
# known again; whoever else frees the job takes it away.
_COLUMN = "ALTER TABLE jobs ADD COLUMN claim_token uuid"

_CHANGED = """
CREATE FUNCTION claim_job(p_id uuid, p_owner text, p_token uuid, p_lease_seconds double precision)
RETURNS TABLE (tenant_id text, ticket_id text, attempt integer, traceparent text, waiting_since timestamptz,
               claimed_at timestamptz, deadline_at timestamptz, started_before boolean,
               answered boolean, note_attempted_at timestamptz)
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH free AS (
        SELECT j.id, j.started_at IS NOT NULL AS started_before,
               CASE WHEN j.state = 'waiting' THEN j.due_at ELSE j.lease_until END AS since
        FROM jobs j
        WHERE j.id = p_id AND j.deadline_at > now()
        AND ((j.state = 'waiting' AND j.due_at <= now())
             OR (j.state = 'running' AND j.lease_until < now() AND j.attempt < 8))
        FOR UPDATE
    )
    UPDATE jobs j
    SET state = 'running', attempt = j.attempt + 1, lease_owner = p_owner, claim_token = p_token,
        started_at = clock_timestamp(), lease_until = clock_timestamp() + make_interval(secs => p_lease_seconds)
    FROM free WHERE j.id = free.id
    RETURNING j.tenant_id, j.ticket_id, j.attempt, j.traceparent, free.since, j.started_at, j.deadline_at,
              free.started_before, j.enhancement IS NOT NULL, j.note_attempted_at
$$;

CREATE FUNCTION take_due_jobs(p_most integer)
RETURNS TABLE (id uuid, tenant_id text, ticket_id text, attempt integer, traceparent text, by_hand boolean)
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE jobs j SET published_at = clock_timestamp()
    WHERE j.id IN (SELECT w.id FROM jobs w WHERE w.state = 'waiting' AND w.published_at IS NULL AND w.due_at <= now()
                   ORDER BY w.due_at LIMIT p_most FOR UPDATE SKIP LOCKED)
    RETURNING j.id, j.tenant_id, j.ticket_id, j.attempt, j.traceparent, coalesce(j.reason = 'retried by hand', false)
$$;

CREATE FUNCTION take_lost_jobs(p_ids uuid[])
RETURNS TABLE (id uuid, tenant_id text, ticket_id text, attempt integer, traceparent text, by_hand boolean)
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE jobs j SET published_at = clock_timestamp()
    WHERE j.id IN (SELECT w.id FROM jobs w WHERE w.id = ANY (p_ids) AND w.state = 'waiting'
                   AND w.published_at < now() - interval '3 seconds' ORDER BY w.due_at FOR UPDATE SKIP LOCKED)
    RETURNING j.id, j.tenant_id, j.ticket_id, j.attempt, j.traceparent, coalesce(j.reason = 'retried by hand', false)
$$;
"""

_REPLACED = """
-- For workers of the code before, which run on until a rollout reaches them. The token is theirs too, though they don't
-- know of it: whoever lost the job to them must not find its own in the row.
CREATE OR REPLACE FUNCTION claim_job(p_id uuid, p_owner text, p_lease_seconds double precision)
RETURNS TABLE (tenant_id text, ticket_id text, attempt integer, traceparent text, waiting_since timestamptz,
               claimed_at timestamptz, deadline_at timestamptz, started_before boolean,
               answered boolean, note_attempted_at timestamptz)
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT * FROM claim_job(p_id, p_owner, gen_random_uuid(), p_lease_seconds)
$$;

-- Jobs whose worker fell silent: back to waiting, while attempts are left. The first time at once; then at any moment
-- of a time that doubles, so that a job which kills its worker is seldom run beside the same jobs again, and does not
-- use up their attempts with its own.
CREATE OR REPLACE FUNCTION recover_jobs(p_most integer)
RETURNS TABLE (id uuid, tenant_id text, ticket_id text, attempt integer, traceparent text)
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE jobs j SET state = 'waiting', published_at = NULL, lease_owner = NULL, lease_until = NULL,
        claim_token = NULL, reason = 'worker lost',
        due_at = now() + make_interval(secs => random() * (2 ^ (greatest(j.attempt, 1) - 1) - 1))
    WHERE j.id IN (SELECT r.id FROM jobs r WHERE r.state = 'running' AND r.lease_until < now() AND r.attempt < 8
                   AND r.deadline_at > now() ORDER BY r.lease_until LIMIT p_most FOR UPDATE SKIP LOCKED)
    RETURNING j.id, j.tenant_id, j.ticket_id, j.attempt, j.traceparent
$$;

-- Those with no attempt left: failed, but for those whose note may be there, which are looked at once more.
CREATE FUNCTION fail_lost_jobs(p_most integer, p_reason text)
RETURNS TABLE (id uuid, tenant_id text, ticket_id text, attempt integer, traceparent text)
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH lost AS (
        SELECT r.id, r.note_attempted_at IS NOT NULL AND r.attempt = 8 AS may_be_there
        FROM jobs r WHERE r.state = 'running' AND r.lease_until < now() AND r.attempt >= 8 AND r.deadline_at > now()
        ORDER BY r.lease_until LIMIT p_most FOR UPDATE SKIP LOCKED
    ), looked_at AS (
        UPDATE jobs j SET state = 'waiting', reason = 'worker lost', due_at = now(), published_at = NULL,
            lease_owner = NULL, lease_until = NULL, claim_token = NULL,
            deadline_at = greatest(j.deadline_at, now() + interval '5 minutes')
        FROM lost l WHERE l.id = j.id AND l.may_be_there
    )
    UPDATE jobs j SET state = 'failed', finished_at = now(), lease_owner = NULL, lease_until = NULL, claim_token = NULL,
        reason = CASE WHEN j.reason IS NULL THEN p_reason ELSE p_reason || ' (before: ' || j.reason || ')' END
    FROM lost l WHERE l.id = j.id AND NOT l.may_be_there
    RETURNING j.id, j.tenant_id, j.ticket_id, j.attempt, j.traceparent
$$;

-- As in 0003, and the look is also due where a worker died in the last of all attempts, which may have posted the note.
CREATE OR REPLACE FUNCTION expire_jobs(p_most integer, p_reason text)
RETURNS TABLE (id uuid, tenant_id text, ticket_id text, attempt integer, traceparent text)
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH overdue AS (
        SELECT o.id, o.note_attempted_at IS NOT NULL
            AND (o.attempt < 8 OR (o.attempt = 8 AND o.state = 'running')) AS may_be_there
        FROM jobs o WHERE o.deadline_at < now()
        AND (o.state = 'waiting' OR (o.state = 'running' AND o.lease_until < now()))
        ORDER BY o.deadline_at LIMIT p_most FOR UPDATE SKIP LOCKED
    ), looked_at AS (
        UPDATE jobs j SET state = 'waiting', attempt = 8, due_at = now(), published_at = NULL,
            lease_owner = NULL, lease_until = NULL, claim_token = NULL, deadline_at = now() + interval '5 minutes'
        FROM overdue o WHERE o.id = j.id AND o.may_be_there
    )
    UPDATE jobs j SET state = 'failed', finished_at = now(), lease_owner = NULL, lease_until = NULL, claim_token = NULL,
        reason = CASE WHEN j.reason IS NULL THEN p_reason ELSE p_reason || ' (last: ' || j.reason || ')' END
    FROM overdue o WHERE o.id = j.id AND NOT o.may_be_there
    RETURNING j.id, j.tenant_id, j.ticket_id, j.attempt, j.traceparent
$$;
"""
_BEFORE = """
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

CREATE FUNCTION take_due_jobs(p_most integer)
RETURNS TABLE (id uuid, tenant_id text, ticket_id text, attempt integer, traceparent text)
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE jobs j SET published_at = clock_timestamp()
    WHERE j.id IN (SELECT w.id FROM jobs w WHERE w.state = 'waiting' AND w.published_at IS NULL AND w.due_at <= now()
                   ORDER BY w.due_at LIMIT p_most FOR UPDATE SKIP LOCKED)
    RETURNING j.id, j.tenant_id, j.ticket_id, j.attempt, j.traceparent
$$;

CREATE FUNCTION take_lost_jobs(p_ids uuid[])
RETURNS TABLE (id uuid, tenant_id text, ticket_id text, attempt integer, traceparent text)
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE jobs j SET published_at = clock_timestamp()
    WHERE j.id IN (SELECT w.id FROM jobs w WHERE w.id = ANY (p_ids) AND w.state = 'waiting'
                   AND w.published_at < now() - interval '3 seconds' ORDER BY w.due_at FOR UPDATE SKIP LOCKED)
    RETURNING j.id, j.tenant_id, j.ticket_id, j.attempt, j.traceparent
$$;

CREATE OR REPLACE FUNCTION recover_jobs(p_most integer)
RETURNS TABLE (id uuid, tenant_id text, ticket_id text, attempt integer, traceparent text)
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE jobs j SET state = 'waiting', due_at = now(), published_at = NULL, lease_owner = NULL, lease_until = NULL
    WHERE j.id IN (SELECT r.id FROM jobs r WHERE r.state = 'running' AND r.lease_until < now()
                   AND r.deadline_at > now() ORDER BY r.lease_until LIMIT p_most FOR UPDATE SKIP LOCKED)
    RETURNING j.id, j.tenant_id, j.ticket_id, j.attempt, j.traceparent
$$;

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
_SIGNATURES = (
    "claim_job(uuid, text, uuid, double precision)",
    "take_due_jobs(integer)",
    "take_lost_jobs(uuid[])",
    "fail_lost_jobs(integer, text)",
)
# What a function answers can't be replaced. The code before reads columns by their names, and does without a new one.
_DROPPED = ("take_due_jobs(integer)", "take_lost_jobs(uuid[])")
_KEPT = "claim_job(uuid, text, double precision)"


def upgrade() -> None:
    role = context.config.attributes["application_role"]
    op.execute(_COLUMN)
    for signature in _DROPPED:
        op.execute(f"DROP FUNCTION {signature}")
    op.execute(_CHANGED)
    op.execute(_REPLACED)
    _grant(_SIGNATURES, role)


def downgrade() -> None:
    role = context.config.attributes["application_role"]
    for signature in (_KEPT, *_SIGNATURES):
        op.execute(f"DROP FUNCTION {signature}")
    op.execute(_BEFORE)
    _grant((_KEPT, *_DROPPED), role)
    op.execute("ALTER TABLE jobs DROP COLUMN claim_token")


def _grant(signatures: tuple[str, ...], role: str) -> None:
    for signature in signatures:
        op.execute(f"REVOKE ALL ON FUNCTION {signature} FROM PUBLIC")
        op.execute(f"GRANT EXECUTE ON FUNCTION {signature} TO {role}")
