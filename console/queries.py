"""Queries of the pages, each over a limited number of rows.

One tenant's rows are read under row-level security, all tenants' rows by functions that return no text from outside.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import text

from db.session import Database, Row
from jobs.bulk_retry import ENDED_OF_TENANT, EndState
from jobs.missed_webhooks import MAX_MISSED, MISSED_LATELY, MissedCount
from jobs.rejections import LAST_ACCEPTED, OF_WEBHOOKS
from jobs.statistics import MAX_COUNTED

_OPEN = text("SELECT * FROM open_jobs(:most)")
_REASONS = text("SELECT * FROM reasons_of_waiting(:most, :pairs)")
MAX_PER_REASON = 1_000
"""Counted jobs of one tenant that wait for one reason, at most."""
_MAX_PAIRS = 2_000


class EndCause(NamedTuple):
    """Jobs of a tenant that ended for one reason, and the time of the last one."""

    tenant_id: str
    reason: str | None
    jobs: int
    finished_at: datetime


_CAUSES = text("SELECT * FROM causes_of_ends(:state, :since, :most)")
_CAUSES_OF_TENANT = text(
    "SELECT e.tenant_id, e.reason, count(*) AS jobs, max(e.finished_at) AS finished_at FROM ("  # noqa: S608 -- constants
    f"SELECT j.tenant_id, j.reason, j.finished_at{ENDED_OF_TENANT} ORDER BY j.finished_at DESC LIMIT :most) e"
    " GROUP BY e.tenant_id, e.reason"
)


async def open_jobs(database: Database) -> Row:
    """Count due and later jobs, to about `MAX_COUNTED`, and the longest wait (s)."""
    (row,) = await database.call(_OPEN, most=MAX_COUNTED)
    return row


async def reasons_of_waiting(database: Database) -> dict[tuple[str, str], int]:
    """Count waiting jobs by tenant id and reason."""
    rows = await database.call(_REASONS, most=MAX_PER_REASON, pairs=_MAX_PAIRS)
    return {(row["tenant_id"], row["reason"]): row["jobs"] for row in rows}


async def causes(database: Database, tenant_id: str | None, state: EndState, since: datetime) -> list[EndCause]:
    """Return the causes of jobs that ended since then; tenant None means all."""
    values = {"state": state, "since": since, "most": MAX_COUNTED}
    if tenant_id is None:
        rows = await database.call(_CAUSES, **values)
    else:
        (rows,) = await database.call_as(tenant_id, _CAUSES_OF_TENANT, **values)
    return [EndCause(**row) for row in rows]


# Each half of the waiting jobs by its own index, as in `is_queue_full`.
_FIGURES = text("""
    SELECT now() AS read_at, l.completed, l.failed, (
        SELECT count(*) FROM (
            SELECT FROM jobs s WHERE s.tenant_id = :tenant AND s.state = 'skipped' AND s.state IN ('failed', 'skipped')
            AND s.finished_at >= now() - interval '1 day' LIMIT :most) s) AS skipped,
        (SELECT count(*) FROM jobs j WHERE j.state = 'running' AND j.tenant_id = :tenant) AS running, (
        SELECT count(*) FROM (
            SELECT FROM jobs j WHERE j.state = 'waiting' AND j.published_at IS NOT NULL
            AND hashtext(j.tenant_id) = hashtext(:tenant) AND j.tenant_id = :tenant
            UNION ALL
            SELECT FROM jobs j WHERE j.state = 'waiting' AND j.published_at IS NULL
            AND hashtext(j.tenant_id) = hashtext(:tenant) AND j.tenant_id = :tenant
            LIMIT :most) w) AS waiting,
        (SELECT max(p.ended_at) FROM passes p WHERE p.tenant_id = :tenant) AS synced_at
    FROM (
        SELECT count(*) FILTER (WHERE e.state = 'completed') AS completed,
               count(*) FILTER (WHERE e.state = 'failed') AS failed
        FROM (
            SELECT j.state FROM jobs j WHERE j.tenant_id = :tenant AND j.state IN ('completed', 'failed')
            AND j.finished_at >= now() - interval '1 day' ORDER BY j.finished_at DESC LIMIT :most) e) l
""")
_REASONS_OF = text("""
    SELECT w.reason, count(*) AS jobs FROM (
        SELECT j.reason FROM jobs j WHERE j.state = 'waiting' AND j.reason IS NOT NULL AND j.tenant_id = :tenant
        LIMIT :most) w GROUP BY w.reason
""")
_LAST_REFUSED = text("""
    SELECT r.rejected_at AS at, r.status, r.reason, r.ticket_id FROM rejections r WHERE r.tenant_id = :tenant
    ORDER BY r.rejected_at DESC LIMIT 1
""")
_SPENT = text("SELECT s.tokens, s.dollars FROM spending s WHERE s.tenant_id = :tenant AND s.day = current_date")
_OF_TENANTS = text("SELECT * FROM outcomes_of_tenants(:tenants, now() - CAST(:lately AS interval), :most)")
_DUE = text("SELECT * FROM due_jobs_of_all(:most)")


@dataclass(frozen=True, slots=True)
class TenantFigures:
    """A tenant's jobs and webhooks; first three: the newest ended within 24 hours.

    `reasons`: why jobs wait again, with numbers. Numbers are capped at `MAX_COUNTED`.
    """

    read_at: datetime
    completed: int
    failed: int
    skipped: int
    running: int
    waiting: int
    reasons: Mapping[str, int]
    last_accepted_at: datetime | None
    last_refused: Row | None
    spent: Row | None
    synced_at: datetime | None
    missed: MissedCount

    @property
    def is_cut(self) -> bool:
        return self.completed + self.failed >= MAX_COUNTED

    @property
    def success_rate(self) -> float | None:
        """Completed part of the jobs that were not skipped, 0 to 1; None without any."""
        ended = self.completed + self.failed
        return self.completed / ended if ended else None


async def due_jobs(database: Database) -> dict[str, int]:
    return {row["tenant_id"]: row["jobs"] for row in await database.call(_DUE, most=MAX_COUNTED)}


async def outcomes(database: Database, tenant_ids: Sequence[str]) -> dict[str, tuple[int, int]]:
    values = {"tenants": list(tenant_ids), "lately": timedelta(days=1), "most": MAX_COUNTED}
    rows = await database.call(_OF_TENANTS, **values)
    return {row["tenant_id"]: (row["completed"], row["failed"]) for row in rows}


async def figures_of(database: Database, tenant_id: str) -> TenantFigures:
    """Return the current figures of a tenant's page."""
    statements = (_FIGURES, _REASONS_OF, LAST_ACCEPTED, _LAST_REFUSED, _SPENT, MISSED_LATELY)
    values = {"most": MAX_COUNTED, "most_missed": MAX_MISSED, **OF_WEBHOOKS}
    results = await database.call_as(tenant_id, *statements, **values)
    (figures,), reasons, (accepted,), refused, spent, (missed,) = results
    return TenantFigures(
        **figures,
        reasons={row["reason"]: row["jobs"] for row in reasons},
        last_accepted_at=accepted["accepted_at"],
        last_refused=refused[0] if refused else None,
        spent=spent[0] if spent else None,
        missed=MissedCount(**missed),
    )
