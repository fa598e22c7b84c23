"""What metrics ask across tenants: counts and ages."""

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


def upgrade() -> None:
    role = context.config.attributes["application_role"]
    op.execute(_FUNCTION)
    op.execute("REVOKE ALL ON FUNCTION job_figures() FROM PUBLIC")
    op.execute(f"GRANT EXECUTE ON FUNCTION job_figures() TO {role}")


def downgrade() -> None:
    op.execute("DROP FUNCTION job_figures()")
