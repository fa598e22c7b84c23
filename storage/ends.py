"""Jobs that failed or were skipped lately, for pages: by cause, and one by one.

Under row-level security for one tenant, through narrow functions for all. Both return ids, states, times and our own
reasons, and read a limited number of rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple
from uuid import UUID

from sqlalchemy import text

from storage.session import Database

EndState = Literal["failed", "skipped"]
MOST_COUNTED = 10_000
"""Of so many newest ones causes are counted."""

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


@dataclass(frozen=True, slots=True)
class EndCause:
    """Jobs of a tenant that ended for one reason, and the time of the last one."""

    tenant_id: str
    reason: str | None
    jobs: int
    finished_at: datetime


@dataclass(frozen=True, slots=True)
class JobEnd:
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
    """Count ended jobs by reason, of a tenant or all: of the newest `MOST_COUNTED`."""
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
) -> list[JobEnd]:
    """Return jobs of a tenant, or of all, that ended since then, latest first."""
    before, before_id = behind or (None, None)
    values = {"state": state, "since": since, "most": most, "before": before, "before_id": before_id}
    given = None if reasons is None else list(reasons)
    if tenant_id is None:
        return [JobEnd(**row) for row in await database.call(_LIST, **values, reasons=given)]
    (rows,) = await database.call_as(tenant_id, _LIST_OF_TENANT, **values, reasons=given)
    return [JobEnd(**row) for row in rows]
