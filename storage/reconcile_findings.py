"""Further findings of reconciliation, and the figures for support and metrics."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import text

from storage.jobs import OWN_EVENTS
from storage.reconciling import HAS_JOB
from storage.session import Database

_REOPENED = text("""
    WITH found AS (
        SELECT t.* FROM jobs t WHERE t.tenant_id = current_setting('app.tenant_id') AND t.ticket_id = :ticket
        UNION
        SELECT d.* FROM jobs d WHERE d.tenant_id = current_setting('app.tenant_id') AND d.desk_id = :ticket
    ), last AS (
        SELECT f.* FROM found f ORDER BY f.accepted_at DESC, f.id DESC LIMIT 1
    ), reopened AS (
        SELECT l.* FROM last l WHERE l.state = 'skipped' AND l.reason = ANY (CAST(:reasons AS text[]))
        AND l.finished_at BETWEEN now() - :window AND now() - :ago
        AND NOT EXISTS (SELECT FROM found f WHERE f.state = 'completed')
    ), told AS (
        INSERT INTO job_events (tenant_id, job_id, attempt, what)
        SELECT r.tenant_id, r.id, r.attempt, 'seen open again' FROM reopened r
        WHERE NOT EXISTS (SELECT FROM job_events e WHERE e.job_id = r.id AND e.what = 'seen open again'
            AND e.at >= r.finished_at)
        RETURNING 1
    ), counted AS (
        UPDATE reconciliations SET reopened = reopened + 1 WHERE EXISTS (SELECT FROM told)
    ) SELECT r.id AS job_id, EXISTS (SELECT FROM told) AS is_new FROM reopened r
""")
_NOTED = text("""
    SELECT j.id AS job_id, j.ticket_id, coalesce(j.desk_id, j.ticket_id) AS desk_id, j.note_id, j.note_attempted_at,
           j.finished_at
    FROM jobs j WHERE j.tenant_id = current_setting('app.tenant_id') AND j.state = 'completed' AND j.note_id <> ''
    AND j.finished_at > :after AND j.finished_at <= :until ORDER BY j.finished_at DESC LIMIT :most
""")
_NOTES_UNTIL = text("""
    UPDATE reconciliations SET notes_until = greatest(notes_until, :until), notes_removed = notes_removed + :removed
""")
_LAST_WEBHOOK = text("""
    UPDATE reconciliations SET last_webhook_at = greatest(last_webhook_at, (
        SELECT j.accepted_at FROM jobs j WHERE j.tenant_id = current_setting('app.tenant_id')
        AND j.accepted_at > now() - interval '1 day' AND coalesce(j.event, '') <> ALL (CAST(:own AS text[]))
        ORDER BY j.accepted_at DESC LIMIT 1))
    RETURNING last_webhook_at
""")
_FIGURES = text(f"""
    SELECT count(*) FILTER (WHERE m.missed_at > now() - interval '1 hour' AND m.missed_at <> m.seen_at
                            AND m.job_id IS NULL AND NOT {HAS_JOB})
               AS missed,
           -- Of a desk that was polled then, none was to come.
           count(*) FILTER (WHERE m.missed_at <> m.seen_at AND m.seen_at > r.last_webhook_at) AS since_webhook,
           r.last_webhook_at, r.compared_at
    FROM reconciliations r LEFT JOIN missing_webhooks m ON true GROUP BY r.last_webhook_at, r.compared_at
""")  # noqa: S608
_TAKE_FOUND = text("""
    WITH before AS (
        SELECT r.told_at, r.missed, r.recovered, r.notes_removed, r.reopened FROM reconciliations r
        WHERE r.told_at <= now() - interval '1 hour' FOR UPDATE
    ), told AS (
        UPDATE reconciliations SET told_at = now(), missed = 0, recovered = 0, notes_removed = 0, reopened = 0
        WHERE EXISTS (SELECT FROM before)
    ) SELECT * FROM before
""")
MISSED_LATELY = text(f"""
    SELECT count(*) FILTER (WHERE l.is_missed) AS missed, max(l.missed_at) FILTER (WHERE l.is_missed) AS last_at,
           count(*) >= :most_missed AS is_cut
    FROM (SELECT m.missed_at, NOT {HAS_JOB} AS is_missed FROM missing_webhooks m
          WHERE m.missed_at <> m.seen_at AND m.job_id IS NULL AND m.tenant_id = :tenant
          AND m.missed_at > now() - interval '1 day' ORDER BY m.missed_at DESC LIMIT :most_missed) l
""")  # noqa: S608
"""A tenant's webhooks that were missed within the day, as `MissedLately` has them."""
_MISSED_OF_ALL = text("SELECT * FROM missed_webhooks_of_all(:since, :most, :tenants)")
MOST_MISSED = 1_000
"""Of so many newest ones of a tenant a page of it looks whether a job has come of them since."""
MOST_MISSED_OF_EACH = 100
"""The same for a page of all tenants."""
_MOST_TENANTS = 2_000
_ABOUT = text("""
    SELECT m.ticket_id, m.created_at, m.seen_at, nullif(m.missed_at, m.seen_at) AS missed_at, m.left_out, m.job_id
    FROM missing_webhooks m
    WHERE m.ticket_id = ANY (CAST(:numbers AS text[])) OR m.display_id = ANY (CAST(:numbers AS text[])) LIMIT 1
""")


class OpenAgain(NamedTuple):
    """A job skipped for a closed ticket, now open; `is_new`: not seen before."""

    job_id: UUID
    is_new: bool


class Noted(NamedTuple):
    """A job whose note the desk accepted."""

    job_id: UUID
    ticket_id: str
    desk_id: str
    note_id: str
    note_attempted_at: datetime | None
    finished_at: datetime


class ReconcileFigures(NamedTuple):
    """Missed tickets without a job (within the hour, since the last webhook), times.

    `compared_at`: when its tickets were last compared.
    """

    missed: int
    since_webhook: int
    last_webhook_at: datetime | None
    compared_at: datetime


@dataclass(frozen=True, slots=True)
class MissedLately:
    """Missed tickets without a job, the last time, and whether there may be more."""

    missed: int = 0
    last_at: datetime | None = None
    is_cut: bool = False


class FoundInAnHour(NamedTuple):
    """Findings since `told_at`."""

    told_at: datetime
    missed: int
    recovered: int
    notes_removed: int
    reopened: int


@dataclass(frozen=True, slots=True)
class SeenWithoutWebhook:
    """A ticket in the desk's list whose webhook had not come by then.

    `ticket_id` is its id in the desk, whichever number was queried. `missed_at` is None while a webhook may come, and
    if none was expected.
    """

    ticket_id: str
    created_at: datetime
    seen_at: datetime
    missed_at: datetime | None
    left_out: bool
    job_id: UUID | None


async def seen_open_again(
    database: Database, tenant_id: str, ticket_id: str, *, reasons: Sequence[str], window: timedelta, ago: timedelta
) -> OpenAgain | None:
    """Return the last job of a ticket now open, if skipped for one of `reasons`.

    It ended within the `window` and at least `ago` before now: the desk may have shown the ticket open for that long.
    """
    values = {"ticket": ticket_id, "reasons": list(reasons), "window": window, "ago": ago}
    (rows,) = await database.call_as(tenant_id, _REOPENED, **values)
    return OpenAgain(**rows[0]) if rows else None


async def noted(database: Database, tenant_id: str, *, after: datetime, until: datetime, most: int) -> list[Noted]:
    (rows,) = await database.call_as(tenant_id, _NOTED, after=after, until=until, most=most)
    return [Noted(**row) for row in reversed(rows)]


async def looked_for_notes(database: Database, tenant_id: str, until: datetime, *, removed: bool = False) -> None:
    await database.call_as(tenant_id, _NOTES_UNTIL, until=until, removed=int(removed))


async def figures(database: Database, tenant_id: str) -> ReconcileFigures | None:
    _, rows = await database.call_as(tenant_id, _LAST_WEBHOOK, _FIGURES, own=sorted(OWN_EVENTS))
    return ReconcileFigures(**rows[0]) if rows else None


async def take_found(database: Database, tenant_id: str) -> FoundInAnHour | None:
    """Return and reset the findings once an hour; None in between."""
    (rows,) = await database.call_as(tenant_id, _TAKE_FOUND)
    return FoundInAnHour(**rows[0]) if rows else None


async def missed_of_all(database: Database, since: datetime) -> dict[str, MissedLately]:
    """Return missed tickets by tenant, `MOST_MISSED_OF_EACH` at most, without zeros.

    Raises one of DATABASE_FAILURES.
    """
    rows = await database.call(_MISSED_OF_ALL, since=since, most=MOST_MISSED_OF_EACH, tenants=_MOST_TENANTS)
    return {row.pop("tenant_id"): MissedLately(**row) for row in map(dict, rows) if row["missed"]}


async def seen_without_webhook(database: Database, tenant_id: str, numbers: Sequence[str]) -> SeenWithoutWebhook | None:
    """Return facts of a ticket by its numbers; None unless its webhook is missing."""
    (rows,) = await database.call_as(tenant_id, _ABOUT, numbers=list(numbers))
    return SeenWithoutWebhook(**rows[0]) if rows else None
