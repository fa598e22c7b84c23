"""Further notes for a ticket: their reasons, and detection of reopened tickets."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import DOUBLE_PRECISION, TEXT

from db.session import Database
from jobs.claims import Claim, LeaseLostError
from jobs.repository import NOTE_MISSING, REFRESH_APART, REFRESHED_LATELY, SEEN_REOPENED

_BEGIN = text("SELECT why FROM begin_refresh(:tenant, :id, :token, :attempt, :reopened, :apart, :lately, :missing)")
# By the ticket's id only: a display id, which a webhook may have, may be another ticket's id. Each half has an index.
JOBS_OF_TICKET = """(
    SELECT t.* FROM jobs t WHERE t.tenant_id = current_setting('app.tenant_id') AND t.ticket_id = :ticket
    AND coalesce(t.desk_id, t.ticket_id) = :ticket
    UNION
    SELECT d.* FROM jobs d WHERE d.tenant_id = current_setting('app.tenant_id') AND d.desk_id = :ticket)
"""
# A running job has read the ticket already, and its note will follow.
_CLOSED = text(f"""
    WITH found AS {JOBS_OF_TICKET}
    UPDATE jobs SET seen_closed_at = now() WHERE id IN (
        SELECT f.id FROM found f WHERE f.state = 'running' AND f.started_at < now() - :ago
        UNION ALL (SELECT f.id FROM found f WHERE f.state = 'completed' AND f.finished_at < now() - :ago
                   ORDER BY f.finished_at DESC LIMIT 1))
""")  # noqa: S608 -- constants
_RESOLVED = text(f"""
    WITH found AS {JOBS_OF_TICKET}
    UPDATE jobs SET resolution_seconds = :seconds WHERE id IN (SELECT f.id FROM found f)
    AND resolution_seconds IS DISTINCT FROM :seconds
""").bindparams(bindparam("ticket", type_=TEXT), bindparam("seconds", type_=DOUBLE_PRECISION))  # noqa: S608
_LAST_NOTE = "SELECT f.* FROM found f WHERE f.state = 'completed' ORDER BY f.finished_at DESC LIMIT 1"
_REOPENED = text(f"""
    WITH found AS {JOBS_OF_TICKET}, last_note AS ({_LAST_NOTE})
    SELECT n.id FROM last_note n WHERE n.seen_closed_at IS NOT NULL AND NOT EXISTS (
        SELECT FROM found f
        WHERE f.state IN ('waiting', 'running') OR (f.event = :event AND f.accepted_at > n.seen_closed_at))
""")  # noqa: S608
_FORGET_CLOSING = text(f"""
    WITH found AS {JOBS_OF_TICKET}
    UPDATE jobs SET seen_closed_at = NULL WHERE seen_closed_at IS NOT NULL AND id IN (SELECT f.id FROM found f)
""")  # noqa: S608
_LAST_REFRESH = text("""
    SELECT max(j.finished_at) AS at FROM jobs j WHERE j.id = ANY (CAST(:ids AS uuid[])) AND j.state = 'completed'
    AND j.refresh IS NOT NULL AND j.finished_at > now() - CAST(:apart AS interval)
""")


async def begin(database: Database, held: Claim, *, reopened: bool) -> str | None:
    """Store and return the reason of a job's further note: `asked` or `reopened`.

    Return None without a further note, REFRESHED_LATELY if the ticket had one within the hour. `reopened`: the tenant
    gets notes for reopened tickets. Raises LeaseLostError.
    """
    claim = {"tenant": held.tenant_id, "id": held.job_id, "token": held.token, "attempt": held.attempt}
    limits = {"apart": REFRESH_APART, "lately": REFRESHED_LATELY, "missing": NOTE_MISSING}
    rows = await database.call(_BEGIN, **claim, **limits, reopened=reopened)
    if not rows:
        raise LeaseLostError
    reason: str | None = rows[0]["why"]
    return reason


async def note_closed(
    database: Database, tenant_id: str, ticket_id: str, seconds_ago: float, resolution_seconds: float | None = None
) -> None:
    """Record that the ticket was read as closed `seconds_ago`, and its resolution time if known."""
    statements = [_CLOSED] if resolution_seconds is None else [_CLOSED, _RESOLVED]
    values = {"ago": timedelta(seconds=seconds_ago), "seconds": resolution_seconds}
    await database.call_as(tenant_id, *statements, ticket=ticket_id, **values)


async def was_reopened(database: Database, tenant_id: str, ticket_id: str) -> bool:
    """Return True if the ticket was closed after its note, and no job has followed."""
    (rows,) = await database.call_as(tenant_id, _REOPENED, ticket=ticket_id, event=SEEN_REOPENED)
    return bool(rows)


async def forget_closing(database: Database, tenant_id: str, ticket_id: str) -> None:
    """Delete the record that the ticket was closed."""
    await database.call_as(tenant_id, _FORGET_CLOSING, ticket=ticket_id)


async def refreshed_lately(database: Database, tenant_id: str, job_ids: Sequence[UUID]) -> datetime | None:
    """Return the time of the last further note within REFRESH_APART, or None."""
    ((row,),) = await database.call_as(tenant_id, _LAST_REFRESH, ids=list(job_ids), apart=REFRESH_APART)
    at: datetime | None = row["at"]
    return at
