"""Failed jobs for a retry of many: their selection, newest failure first, and its estimated cost."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple
from uuid import UUID

from sqlalchemy import text

from config.prices import ModelPrices, cost
from db.session import Database
from jobs.activity import PageEnd
from jobs.manual_retry import is_last_of_ticket

EndState = Literal["failed", "skipped"]
_SAMPLE = 100


class FinishedJob(NamedTuple):
    """Failed or skipped job (`job_rows`). `answered`: a retry reuses a stored answer."""

    id: UUID
    tenant_id: str
    ticket_id: str
    reason: str | None
    attempt: int
    accepted_at: datetime
    finished_at: datetime
    answered: bool


class Estimate(NamedTuple):
    """Expected cost of a retry. `dollars`: None if a model has no price. `unknown`: jobs of tenants without a note."""

    tokens: int = 0
    dollars: float | None = 0.0
    unknown: int = 0


ENDED_OF_TENANT = (
    " FROM job_rows j WHERE j.tenant_id = :tenant AND j.state = :state AND j.state IN ('failed', 'skipped')"
    " AND j.finished_at >= :since"
)
"""Repeats the condition of the two partial indexes, so that the planner uses them."""
_COLUMNS = ", ".join(f"j.{column}" for column in FinishedJob._fields)
_LIST = text(f"SELECT {_COLUMNS} FROM list_ends(:state, :reasons, :since, :before, :before_id, :most) j")  # noqa: S608
_LIST_OF_TENANT = text(
    f"SELECT {_COLUMNS}{ENDED_OF_TENANT}"
    " AND (CAST(:reasons AS text[]) IS NULL OR j.reason = ANY (CAST(:reasons AS text[])))"
    " AND (CAST(:before AS timestamptz) IS NULL OR (j.finished_at, j.id) < (:before, CAST(:before_id AS uuid)))"
    " ORDER BY j.finished_at DESC, j.id DESC LIMIT :most"
)
_LAST_PAID = text("""
    SELECT l.model, l.dollars IS NOT NULL AS is_priced, count(*) AS jobs, sum(l.input_tokens) AS input_tokens,
        sum(l.output_tokens) AS output_tokens, sum(l.dollars) AS dollars
    FROM (
        SELECT j.model, j.dollars, j.input_tokens, j.output_tokens FROM jobs j
        WHERE j.tenant_id = :tenant AND j.state = 'completed' AND j.input_tokens > 0
        ORDER BY j.accepted_at DESC, j.id DESC LIMIT :most) l
    GROUP BY 1, 2
""")


async def ended(
    database: Database,
    tenant_id: str | None,
    state: EndState,
    since: datetime,
    *,
    reasons: Sequence[str] | None = None,
    after: PageEnd | None = None,
    most: int,
) -> list[FinishedJob]:
    """Return ended jobs of these reasons, latest end first; tenant None means all."""
    before, before_id = after or (None, None)
    values: dict[str, Any] = {"state": state, "since": since, "most": most, "before": before, "before_id": before_id}
    values["reasons"] = None if reasons is None else list(reasons)
    if tenant_id is None:
        rows = await database.call(_LIST, **values)
    else:
        (rows,) = await database.call_as(tenant_id, _LIST_OF_TENANT, **values)
    return [FinishedJob(**row) for row in rows]


async def checked(database: Database, jobs: Sequence[FinishedJob]) -> AsyncIterator[tuple[FinishedJob, bool]]:
    """Yield each job, and whether a retry of many includes it.

    A ticket gets one enhancement: a job is left out if another one of its ticket failed later, is completed or open.
    """
    for job in jobs:
        yield job, await is_last_of_ticket(database, job.tenant_id, job.ticket_id, job.id)


async def estimate(database: Database, jobs: Sequence[FinishedJob], prices: ModelPrices) -> Estimate:
    """Estimate the cost of a retry by the averages of each tenant's last 100 paid notes.

    Jobs with a stored answer cost nothing.
    """
    tokens, spent, unknown = 0, 0.0, 0
    is_priced = True
    for tenant_id, count in Counter(job.tenant_id for job in jobs if not job.answered).items():
        (rows,) = await database.call_as(tenant_id, _LAST_PAID, most=_SAMPLE)
        paid = sum(row["jobs"] for row in rows)
        if not paid:
            unknown += count
            continue
        tokens += round(count * sum(row["input_tokens"] + row["output_tokens"] for row in rows) / paid)
        for row in rows:
            dollars = cost(prices, row["model"], row["input_tokens"], row["output_tokens"], row["dollars"])
            is_priced = is_priced and dollars is not None
            spent += count * (dollars or 0) / paid
    return Estimate(tokens, spent if is_priced else None, unknown)
