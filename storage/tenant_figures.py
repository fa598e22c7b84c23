"""Figures of one tenant for pages, in one round trip under row-level security."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy import text

from storage.reconcile_findings import MISSED_LATELY, MOST_MISSED, MissedLately
from storage.rejections import LAST_ACCEPTED, OF_WEBHOOKS
from storage.session import Database

MOST_COUNTED = 10_000
"""Beyond so many jobs of a kind nobody counts on."""

_NOW = text("SELECT now() AS asked_at")
_LATELY = text("""
    SELECT count(*) FILTER (WHERE l.state = 'completed') AS completed,
           count(*) FILTER (WHERE l.state = 'failed') AS failed,
           (SELECT count(*) FROM (
               SELECT FROM jobs s WHERE s.tenant_id = :tenant AND s.state = 'skipped'
               AND s.state IN ('failed', 'skipped') AND s.finished_at >= now() - interval '1 day'
               LIMIT :most) s) AS skipped
    FROM (SELECT j.state FROM jobs j WHERE j.tenant_id = :tenant AND j.state IN ('completed', 'failed')
          AND j.finished_at >= now() - interval '1 day' ORDER BY j.finished_at DESC LIMIT :most) l
""")
_OF_TENANTS = text("SELECT * FROM outcomes_of_tenants(:tenants, now() - CAST(:lately AS interval), :most)")
_RUNNING = text("SELECT count(*) AS running FROM jobs j WHERE j.state = 'running' AND j.tenant_id = :tenant")
# Each half by its own index, as in `is_queue_full`.
_WAITING = text("""
    SELECT count(*) AS waiting FROM (
        SELECT FROM jobs j WHERE j.state = 'waiting' AND j.published_at IS NOT NULL
        AND hashtext(j.tenant_id) = hashtext(:tenant) AND j.tenant_id = :tenant
        UNION ALL
        SELECT FROM jobs j WHERE j.state = 'waiting' AND j.published_at IS NULL
        AND hashtext(j.tenant_id) = hashtext(:tenant) AND j.tenant_id = :tenant
        LIMIT :most) w
""")
_REASONS = text("""
    SELECT w.reason, count(*) AS jobs FROM (
        SELECT j.reason FROM jobs j WHERE j.state = 'waiting' AND j.reason IS NOT NULL AND j.tenant_id = :tenant
        LIMIT :most) w GROUP BY w.reason ORDER BY 2 DESC, 1
""")
_LAST_REFUSED = text("""
    SELECT r.rejected_at AS at, r.status, r.reason, r.ticket_id FROM rejections r WHERE r.tenant_id = :tenant
    ORDER BY r.rejected_at DESC LIMIT 1
""")
_SPENT = text("SELECT s.day, s.tokens, s.dollars FROM spending s WHERE s.tenant_id = :tenant AND s.day = current_date")
_SYNCED = text("SELECT max(p.ended_at) AS synced_at FROM passes p WHERE p.tenant_id = :tenant")
_QUESTIONS = (_NOW, _LATELY, _RUNNING, _WAITING, _REASONS, LAST_ACCEPTED, _LAST_REFUSED, _SPENT, _SYNCED, MISSED_LATELY)


@dataclass(frozen=True, slots=True)
class LastRefusal:
    """The tenant's last refused webhook; `ticket_id` is None if unreadable."""

    at: datetime
    status: int
    reason: str
    ticket_id: str | None


@dataclass(frozen=True, slots=True)
class SpentOnDay:
    """Cost of its jobs on a UTC day."""

    day: date
    tokens: int
    dollars: float


@dataclass(frozen=True, slots=True)
class TenantFigures:
    """A tenant's jobs and webhooks; first three: the newest ended within 24 hours.

    `reasons`: why jobs wait again, with numbers. Numbers are capped at `MOST_COUNTED`.
    """

    asked_at: datetime
    completed: int
    failed: int
    skipped: int
    running: int
    waiting: int
    reasons: Mapping[str, int]
    last_accepted_at: datetime | None
    last_refused: LastRefusal | None
    spent: SpentOnDay | None
    synced_at: datetime | None
    missed: MissedLately

    @property
    def is_cut(self) -> bool:
        return self.completed + self.failed >= MOST_COUNTED

    @property
    def success_rate(self) -> float | None:
        """Completed part of the jobs that were not skipped, 0 to 1; None without any."""
        ended = self.completed + self.failed
        return self.completed / ended if ended else None


async def outcomes(database: Database, tenant_ids: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Return completed and failed jobs of each tenant with a failed one.

    Raises one of DATABASE_FAILURES.
    """
    values = {"tenants": list(tenant_ids), "lately": timedelta(days=1), "most": MOST_COUNTED}
    rows = await database.call(_OF_TENANTS, **values)
    return {row["tenant_id"]: (row["completed"], row["failed"]) for row in rows}


async def figures_of(database: Database, tenant_id: str) -> TenantFigures:
    """Return a tenant's current figures. Raises one of DATABASE_FAILURES."""
    values = {"most": MOST_COUNTED, "most_missed": MOST_MISSED, **OF_WEBHOOKS}
    answers = await database.call_as(tenant_id, *_QUESTIONS, **values)
    (now,), (lately,), (running,), (waiting,), reasons, (accepted,), refused, spent, (synced,), (missed,) = answers
    return TenantFigures(
        **now,
        **lately,
        **running,
        **waiting,
        reasons={row["reason"]: row["jobs"] for row in reasons},
        last_accepted_at=accepted["accepted_at"],
        last_refused=LastRefusal(**refused[0]) if refused else None,
        spent=SpentOnDay(**spent[0]) if spent else None,
        **synced,
        missed=MissedLately(**missed),
    )
