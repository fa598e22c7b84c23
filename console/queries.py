"""Queries of the pages, each over a limited number of rows.

Of one tenant under row-level security, of all through narrow functions. They return ids, states, times and our own
reasons.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal, NamedTuple
from uuid import UUID

from sqlalchemy import text

from db.session import Database
from jobs.missed_webhooks import MISSED_LATELY, MOST_MISSED, MissedCount
from jobs.rejections import LAST_ACCEPTED, OF_WEBHOOKS
from jobs.statistics import MOST_COUNTED

EndState = Literal["failed", "skipped"]

_OPEN = text("SELECT * FROM open_jobs(:most)")
_REASONS = text("SELECT * FROM reasons_of_waiting(:most, :pairs)")
MOST_A_REASON = 1_000
"""Nor beyond so many of a tenant that wait for one reason."""
_MOST_PAIRS = 2_000
# Repeats the condition of the two partial indexes, so that the planner uses them.
_OF_TENANT = (
    " FROM jobs j WHERE j.tenant_id = :tenant AND j.state = :state AND j.state IN ('failed', 'skipped')"
    " AND j.finished_at >= :since"
)
_CAUSES = text("SELECT * FROM causes_of_ends(:state, :since, :most)")
_CAUSES_OF_TENANT = text(
    "SELECT e.tenant_id, e.reason, count(*) AS jobs, max(e.finished_at) AS finished_at FROM ("  # noqa: S608 -- as above
    f"SELECT j.tenant_id, j.reason, j.finished_at{_OF_TENANT} ORDER BY j.finished_at DESC LIMIT :most) e"
    " GROUP BY e.tenant_id, e.reason"
)
_LIST = text("SELECT * FROM list_ends(:state, :reasons, :since, :before, :before_id, :most)")
_LIST_OF_TENANT = text(
    "SELECT j.id, j.tenant_id, j.ticket_id, j.reason, j.attempt, j.accepted_at, j.finished_at,"
    f" j.enhancement IS NOT NULL AS answered{_OF_TENANT}"
    " AND (CAST(:reasons AS text[]) IS NULL OR j.reason = ANY (CAST(:reasons AS text[])))"
    " AND (CAST(:before AS timestamptz) IS NULL OR (j.finished_at, j.id) < (:before, CAST(:before_id AS uuid)))"
    " ORDER BY j.finished_at DESC, j.id DESC LIMIT :most"
)


class OpenJobs(NamedTuple):
    """Due jobs and later ones: about `MOST_COUNTED` of each at most."""

    waiting: int
    later: int
    oldest_waiting_seconds: float


async def open_jobs(database: Database) -> OpenJobs:
    (row,) = await database.call(_OPEN, most=MOST_COUNTED)
    return OpenJobs(**row)


async def reasons_of_waiting(database: Database) -> dict[tuple[str, str], int]:
    rows = await database.call(_REASONS, most=MOST_A_REASON, pairs=_MOST_PAIRS)
    return {(row["tenant_id"], row["reason"]): row["jobs"] for row in rows}


class EndCause(NamedTuple):
    """Jobs of a tenant that ended for one reason, and the time of the last one."""

    tenant_id: str
    reason: str | None
    jobs: int
    finished_at: datetime


class FinishedJob(NamedTuple):
    """A failed or skipped job. `answered`: a retry reuses GPT-4's stored answer."""

    id: UUID
    tenant_id: str
    ticket_id: str
    reason: str | None
    attempt: int
    accepted_at: datetime
    finished_at: datetime
    answered: bool


class Behind(NamedTuple):
    """End of a page, where the next one begins."""

    finished_at: datetime
    id: UUID


async def causes(database: Database, tenant_id: str | None, state: EndState, since: datetime) -> list[EndCause]:
    values = {"state": state, "since": since, "most": MOST_COUNTED}
    if tenant_id is None:
        return [EndCause(**row) for row in await database.call(_CAUSES, **values)]
    (rows,) = await database.call_as(tenant_id, _CAUSES_OF_TENANT, **values)
    return [EndCause(**row) for row in rows]


async def ended(
    database: Database,
    tenant_id: str | None,
    state: EndState,
    since: datetime,
    *,
    reasons: Sequence[str] | None = None,
    behind: Behind | None = None,
    most: int,
) -> list[FinishedJob]:
    before, before_id = behind or (None, None)
    values = {"state": state, "since": since, "most": most, "before": before, "before_id": before_id}
    given = None if reasons is None else list(reasons)
    if tenant_id is None:
        return [FinishedJob(**row) for row in await database.call(_LIST, **values, reasons=given)]
    (rows,) = await database.call_as(tenant_id, _LIST_OF_TENANT, **values, reasons=given)
    return [FinishedJob(**row) for row in rows]


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
_DUE = text("SELECT * FROM due_jobs_of_all(:most)")
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
_REASONS_OF = text("""
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
_QUESTIONS = (
    _NOW,
    _LATELY,
    _RUNNING,
    _WAITING,
    _REASONS_OF,
    LAST_ACCEPTED,
    _LAST_REFUSED,
    _SPENT,
    _SYNCED,
    MISSED_LATELY,
)


@dataclass(frozen=True, slots=True)
class LastRefusal:
    """The tenant's last refused webhook; `ticket_id` is None if unreadable."""

    at: datetime
    status: int
    reason: str
    ticket_id: str | None


class SpentOnDay(NamedTuple):
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
    missed: MissedCount

    @property
    def is_cut(self) -> bool:
        return self.completed + self.failed >= MOST_COUNTED

    @property
    def success_rate(self) -> float | None:
        """Completed part of the jobs that were not skipped, 0 to 1; None without any."""
        ended = self.completed + self.failed
        return self.completed / ended if ended else None


async def due_jobs(database: Database) -> dict[str, int]:
    return {row["tenant_id"]: row["jobs"] for row in await database.call(_DUE, most=MOST_COUNTED)}


async def outcomes(database: Database, tenant_ids: Sequence[str]) -> dict[str, tuple[int, int]]:
    values = {"tenants": list(tenant_ids), "lately": timedelta(days=1), "most": MOST_COUNTED}
    rows = await database.call(_OF_TENANTS, **values)
    return {row["tenant_id"]: (row["completed"], row["failed"]) for row in rows}


async def figures_of(database: Database, tenant_id: str) -> TenantFigures:
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
        missed=MissedCount(**missed),
    )
