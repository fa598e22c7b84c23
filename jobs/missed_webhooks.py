"""Queries of reconciliation: missed webhooks, reopened tickets, removed notes.

A desk's new tickets are compared with the jobs. A ticket without a job has a missed webhook, and can be recovered.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from psycopg.types.json import Jsonb
from sqlalchemy import text

from db.session import Database
from jobs.refresh import JOBS_OF_TICKET
from jobs.repository import DELIVERY_KNOWN, MAX_RECOVERED_PER_MINUTE, MAX_TENANTS, OWN_EVENTS, Event

_LOAD = text("""
    SELECT now() AS now, r.since, r.compared_until, r.notes_until,
           greatest(r.since - r.first_seen_at, interval '0') AS ahead FROM reconciliations r
""")
# The last webhook is searched in all jobs here; `_LAST_WEBHOOK` later searches only those of a day.
_BEGIN = text("""
    INSERT INTO reconciliations (tenant_id, since, compared_until, last_webhook_at)
    SELECT current_setting('app.tenant_id'), coalesce(:newest, now() - interval '1 minute'), coalesce(:newest, now()), (
        SELECT j.accepted_at FROM jobs j WHERE j.tenant_id = current_setting('app.tenant_id')
        AND coalesce(j.event, '') <> ALL (CAST(:own AS text[])) ORDER BY j.accepted_at DESC LIMIT 1)
    ON CONFLICT DO NOTHING
""")
# Condition: a job has one of the numbers of row `m`. Two EXISTS, because each column has its own index.
_HAS_JOB = """(
    EXISTS (SELECT FROM jobs j WHERE j.tenant_id = m.tenant_id AND j.ticket_id IN (m.ticket_id, m.display_id))
    OR EXISTS (SELECT FROM jobs j WHERE j.tenant_id = m.tenant_id AND j.desk_id = m.ticket_id))"""
_RECORD_SEEN = text(f"""
    INSERT INTO missing_webhooks (tenant_id, ticket_id, display_id, created_at, seen_at, tells_all)
    SELECT m.tenant_id, m.ticket_id, m.display_id, m.created_at, :seen_at, m.is_complete
    FROM (SELECT current_setting('app.tenant_id') AS tenant_id, r.* FROM jsonb_to_recordset(:tickets)
        AS r (ticket_id text, display_id text, created_at timestamptz, is_complete boolean)) m
    WHERE NOT {_HAS_JOB}
    ON CONFLICT DO NOTHING
""")  # noqa: S608 -- constants
_DELETE_ARRIVED = text(f"DELETE FROM missing_webhooks m WHERE m.missed_at IS NULL AND {_HAS_JOB}")  # noqa: S608
# Never in the future: a wrong creation time must not hide the tickets before it.
_COMPARED_UNTIL = text("UPDATE reconciliations SET compared_until = greatest(compared_until, least(:until, now()))")
_MARK_COMPARED = text("UPDATE reconciliations SET compared_at = now()")
_OVERDUE = text("""
    SELECT m.ticket_id, m.display_id, m.created_at, m.tells_all AS is_complete FROM missing_webhooks m
    WHERE m.missed_at IS NULL AND NOT m.left_out AND m.seen_at <= :before AND m.created_at >= :oldest
    ORDER BY m.created_at, m.ticket_id LIMIT :most
""")
_COUNT_MISSED = text(f"""
    WITH missed AS (
        UPDATE missing_webhooks m SET missed_at = CASE WHEN :counts = 1 THEN now() ELSE m.seen_at END
        WHERE m.ticket_id = :ticket AND m.missed_at IS NULL AND NOT {_HAS_JOB} RETURNING 1
    ), counted AS (
        UPDATE reconciliations SET missed = missed + :counts WHERE EXISTS (SELECT FROM missed)
    ) SELECT 1 AS one FROM missed
""")  # noqa: S608
_LEAVE_OUT = text("UPDATE missing_webhooks SET left_out = true WHERE ticket_id = :ticket AND missed_at IS NULL")
_FORGET = text("DELETE FROM missing_webhooks WHERE ticket_id = ANY (CAST(:tickets AS text[])) AND job_id IS NULL")
_TO_RECOVER = text(f"""
    WITH lately AS (
        SELECT count(*) AS made, min(recovered_at) AS first_at FROM missing_webhooks
        WHERE recovered_at > now() - interval '1 minute'
    ), refused AS (
        SELECT r.ticket_id FROM rejections r WHERE r.status = 429
    ), missed AS (
        SELECT m.ticket_id, m.display_id, m.created_at, m.tells_all AS is_complete FROM missing_webhooks m
        WHERE m.missed_at IS NOT NULL AND m.job_id IS NULL AND m.created_at >= :oldest AND NOT {_HAS_JOB}
        AND (NOT :only_refused OR m.ticket_id IN (SELECT r.ticket_id FROM refused r)
             OR m.display_id IN (SELECT r.ticket_id FROM refused r))
        ORDER BY m.created_at, m.ticket_id LIMIT :most
    )
    SELECT m.*, l.made, extract(epoch FROM l.first_at + interval '1 minute' - now())::float8 AS room_in
    FROM missed m CROSS JOIN lately l ORDER BY m.created_at, m.ticket_id
""")  # noqa: S608
# One statement takes the row and creates the job: a concurrent one waits, then finds the row taken.
_RECOVER = text(f"""
    WITH taken AS (
        UPDATE missing_webhooks m SET job_id = :id, recovered_at = now()
        WHERE m.ticket_id = :ticket AND m.missed_at IS NOT NULL AND m.job_id IS NULL AND NOT {_HAS_JOB}
        RETURNING m.tenant_id, m.ticket_id
    ), counted AS (
        UPDATE reconciliations SET recovered = recovered + 1 WHERE EXISTS (SELECT FROM taken)
    )
    SELECT a.id FROM taken t CROSS JOIN LATERAL accept_jobs(jsonb_build_array(jsonb_build_object(
        'id', :id, 'tenant', t.tenant_id, 'ticket', t.ticket_id, 'event', CAST(:event AS text),
        'traceparent', CAST(:traceparent AS text), 'keys', jsonb_build_array())), false, :known, :deadline) a
""")  # noqa: S608


class ComparisonProgress(NamedTuple):
    """Progress of a tenant's comparison."""

    now: datetime  # the database's time
    since: datetime  # the desk's time, as is `compared_until`
    compared_until: datetime
    notes_until: datetime  # notes of jobs that ended by then were checked
    ahead: timedelta  # least lead of the desk's clock over the database's, measured at the first comparison


class NewTicket(NamedTuple):
    """A listed ticket."""

    ticket_id: str
    display_id: str | None
    created_at: datetime
    is_complete: bool = True  # the list has all fields that the tenant's rules need: the ticket need not be read

    @property
    def numbers(self) -> set[str]:
        """Return the ticket's id and, if known, its display id."""
        return {self.ticket_id, self.display_id or self.ticket_id}


class RecoveryBatch(NamedTuple):
    """Tickets to recover now, oldest first."""

    tickets: Sequence[NewTicket]
    more_in: float | None  # seconds until the limit allows the next ones; None if no more are left


async def load(database: Database, tenant_id: str) -> ComparisonProgress | None:
    """Return the tenant's progress; None before its first comparison."""
    (rows,) = await database.call_as(tenant_id, _LOAD)
    return ComparisonProgress(**rows[0]) if rows else None


async def begin(database: Database, tenant_id: str, newest: datetime | None) -> None:
    """Start comparing after `newest` (the desk's time), or from now if None."""
    await database.call_as(tenant_id, _BEGIN, newest=newest, own=sorted(OWN_EVENTS))


async def compare(
    database: Database, tenant_id: str, tickets: Sequence[NewTicket], *, seen_at: datetime, until: datetime
) -> None:
    """Record tickets without a job, and delete recorded ones that have one by now."""
    rows = [each._asdict() | {"created_at": each.created_at.isoformat()} for each in tickets]
    values = {"tickets": Jsonb(rows), "seen_at": seen_at, "until": until}
    await database.call_as(tenant_id, _RECORD_SEEN, _DELETE_ARRIVED, _COMPARED_UNTIL, **values)


async def mark_compared(database: Database, tenant_id: str) -> None:
    """Record that a comparison is complete."""
    await database.call_as(tenant_id, _MARK_COMPARED)


async def overdue(
    database: Database, tenant_id: str, *, before: datetime, oldest: datetime, most: int
) -> list[NewTicket]:
    """Return tickets seen by `before` and still without a job, oldest first."""
    (rows,) = await database.call_as(tenant_id, _OVERDUE, before=before, oldest=oldest, most=most)
    return [NewTicket(**row) for row in rows]


async def mark_missed(database: Database, tenant_id: str, ticket_id: str, *, was_expected: bool) -> bool:
    """Mark a ticket's webhook as missed; return False if it came or was marked."""
    (rows,) = await database.call_as(tenant_id, _COUNT_MISSED, ticket=ticket_id, counts=int(was_expected))
    return bool(rows)


async def leave_out(database: Database, tenant_id: str, ticket_id: str) -> None:
    """Exclude a listed ticket for good: it gets no job."""
    await database.call_as(tenant_id, _LEAVE_OUT, ticket=ticket_id)


async def forget(database: Database, tenant_id: str, ticket_ids: Sequence[str]) -> None:
    """Delete listed tickets that have no job."""
    await database.call_as(tenant_id, _FORGET, tickets=list(ticket_ids))


async def to_recover(
    database: Database, tenant_id: str, oldest: datetime, *, only_refused: bool = False
) -> RecoveryBatch:
    """Return missed tickets within the limit; `only_refused`: refused with 429."""
    values = {"oldest": oldest, "only_refused": only_refused, "most": MAX_RECOVERED_PER_MINUTE + 1}
    (rows,) = await database.call_as(tenant_id, _TO_RECOVER, **values)
    if not rows:
        return RecoveryBatch([], None)
    room = max(0, MAX_RECOVERED_PER_MINUTE - rows[0]["made"])
    tickets = [NewTicket(*(row[name] for name in NewTicket._fields)) for row in rows]
    room_in = rows[0]["room_in"]
    more_in = None if len(tickets) <= room else 60.0 if room_in is None else max(0.0, room_in)
    return RecoveryBatch(tickets[:room], more_in)


async def recover(database: Database, event: Event, deadline: timedelta) -> bool:
    """Create a missed ticket's job, published by the relay; False if it has one."""
    values = {"id": event.job_id, "ticket": event.ticket_id, "event": event.event, "traceparent": event.traceparent}
    limits = {"known": DELIVERY_KNOWN, "deadline": deadline}
    (rows,) = await database.call_as(event.tenant_id, _RECOVER, **values, **limits)
    return bool(rows)


_REOPENED = text(f"""
    WITH found AS {JOBS_OF_TICKET}, last AS (
        SELECT f.* FROM found f ORDER BY f.accepted_at DESC, f.id DESC LIMIT 1
    ), reopened AS (
        SELECT l.* FROM last l WHERE l.state = 'skipped' AND l.reason = ANY (CAST(:reasons AS text[]))
        AND l.finished_at BETWEEN now() - :window AND now() - :ago
        AND NOT EXISTS (SELECT FROM found f WHERE f.state = 'completed')
    ), reported AS (
        INSERT INTO job_events (tenant_id, job_id, attempt, what)
        SELECT r.tenant_id, r.id, r.attempt, 'seen open again' FROM reopened r
        WHERE NOT EXISTS (SELECT FROM job_events e WHERE e.job_id = r.id AND e.what = 'seen open again'
            AND e.at >= r.finished_at)
        RETURNING 1
    ), counted AS (
        UPDATE reconciliations SET reopened = reopened + 1 WHERE EXISTS (SELECT FROM reported)
    ) SELECT r.id AS job_id, EXISTS (SELECT FROM reported) AS is_new FROM reopened r
""")  # noqa: S608
_POSTED_NOTES = text("""
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
                            AND m.job_id IS NULL AND NOT {_HAS_JOB})
               AS missed,
           -- missed_at = seen_at marks tickets of a polled desk, where no webhook is expected.
           count(*) FILTER (WHERE m.missed_at <> m.seen_at AND m.seen_at > r.last_webhook_at) AS since_webhook,
           r.last_webhook_at, r.compared_at
    FROM reconciliations r LEFT JOIN missing_webhooks m ON true GROUP BY r.last_webhook_at, r.compared_at
""")  # noqa: S608
_TAKE_FINDINGS = text("""
    WITH before AS (
        SELECT r.told_at AS since, r.missed, r.recovered, r.notes_removed, r.reopened FROM reconciliations r
        WHERE r.told_at <= now() - interval '1 hour' FOR UPDATE
    ), cleared AS (
        UPDATE reconciliations SET told_at = now(), missed = 0, recovered = 0, notes_removed = 0, reopened = 0
        WHERE EXISTS (SELECT FROM before)
    ) SELECT * FROM before
""")
MISSED_LATELY = text(f"""
    SELECT count(*) FILTER (WHERE l.is_missed) AS missed, max(l.missed_at) FILTER (WHERE l.is_missed) AS last_at,
           count(*) >= :most_missed AS is_cut
    FROM (SELECT m.missed_at, NOT {_HAS_JOB} AS is_missed FROM missing_webhooks m
          WHERE m.missed_at <> m.seen_at AND m.job_id IS NULL AND m.tenant_id = :tenant
          AND m.missed_at > now() - interval '1 day' ORDER BY m.missed_at DESC LIMIT :most_missed) l
""")  # noqa: S608
# `seen_at` is by our clock, `created_at` by the desk's.
MISSED_OF_TENANT = text(f"""
    SELECT count(*) AS missed FROM missing_webhooks m
    WHERE m.tenant_id = :tenant AND m.seen_at >= :since AND m.seen_at < :until
    AND m.missed_at <> m.seen_at AND m.job_id IS NULL AND NOT {_HAS_JOB}
""")  # noqa: S608
_MISSED_OF_ALL = text("SELECT * FROM missed_webhooks_of_all(:since, :most, :tenants)")
MAX_MISSED = 1_000  # newest missed webhooks that a tenant's page counts
MAX_MISSED_PER_TENANT = 100
_SEEN_WITHOUT_WEBHOOK = text("""
    SELECT m.ticket_id, m.created_at, m.seen_at, nullif(m.missed_at, m.seen_at) AS missed_at, m.left_out, m.job_id
    FROM missing_webhooks m
    WHERE m.ticket_id = ANY (CAST(:numbers AS text[])) OR m.display_id = ANY (CAST(:numbers AS text[])) LIMIT 1
""")


class ReopenedJob(NamedTuple):
    """A skipped job whose ticket is open again; `is_new`: not reported before."""

    job_id: UUID
    is_new: bool


class PostedNote(NamedTuple):
    """A completed job and its note."""

    job_id: UUID
    ticket_id: str
    desk_id: str
    note_id: str
    note_attempted_at: datetime | None
    finished_at: datetime


class ReconcileFigures(NamedTuple):
    """Missed tickets without a job: within the hour, and since the last webhook."""

    missed: int
    since_webhook: int
    last_webhook_at: datetime | None
    compared_at: datetime


class MissedCount(NamedTuple):
    """Missed tickets without a job; `is_cut`: there may be more."""

    missed: int = 0
    last_at: datetime | None = None
    is_cut: bool = False


class HourlyFindings(NamedTuple):
    """Findings since the last report, at `since`."""

    since: datetime
    missed: int
    recovered: int
    notes_removed: int
    reopened: int


@dataclass(frozen=True, slots=True)
class SeenWithoutWebhook:
    """A listed ticket without a webhook."""

    ticket_id: str  # its id in the desk
    created_at: datetime
    seen_at: datetime
    missed_at: datetime | None  # None while a webhook may still come, and if none was expected
    left_out: bool
    job_id: UUID | None


async def seen_open_again(
    database: Database, tenant_id: str, ticket_id: str, *, reasons: Sequence[str], window: timedelta, ago: timedelta
) -> ReopenedJob | None:
    """Return the last job of an open ticket if it was skipped for one of `reasons`.

    The ticket was read as open `ago` before now: the job must have ended before that, within the `window`, and no job
    of the ticket may be completed. The first call after the job ended adds an event to it and counts it as reopened.
    """
    values = {"ticket": ticket_id, "reasons": list(reasons), "window": window, "ago": ago}
    (rows,) = await database.call_as(tenant_id, _REOPENED, **values)
    return ReopenedJob(**rows[0]) if rows else None


async def posted_notes(
    database: Database, tenant_id: str, after: datetime, until: datetime, *, most: int
) -> list[PostedNote]:
    """Return the newest notes of jobs ended after `after`, oldest first."""
    (rows,) = await database.call_as(tenant_id, _POSTED_NOTES, after=after, until=until, most=most)
    return [PostedNote(**row) for row in reversed(rows)]


async def mark_notes_checked(database: Database, tenant_id: str, until: datetime, *, removed: bool = False) -> None:
    """Record that notes of jobs ended by `until` are checked; count a removed one."""
    await database.call_as(tenant_id, _NOTES_UNTIL, until=until, removed=int(removed))


async def figures(database: Database, tenant_id: str) -> ReconcileFigures | None:
    """Return the tenant's figures; None before its first comparison."""
    _, rows = await database.call_as(tenant_id, _LAST_WEBHOOK, _FIGURES, own=sorted(OWN_EVENTS))
    return ReconcileFigures(**rows[0]) if rows else None


async def take_findings(database: Database, tenant_id: str) -> HourlyFindings | None:
    """Return the findings and reset them, once an hour; None in between."""
    (rows,) = await database.call_as(tenant_id, _TAKE_FINDINGS)
    return HourlyFindings(**rows[0]) if rows else None


async def missed_of_all(database: Database, since: datetime) -> dict[str, MissedCount]:
    """Return each tenant's count of missed tickets, if it has any."""
    rows = await database.call(_MISSED_OF_ALL, since=since, most=MAX_MISSED_PER_TENANT, tenants=MAX_TENANTS)
    return {row.pop("tenant_id"): MissedCount(**row) for row in map(dict, rows) if row["missed"]}


async def seen_without_webhook(database: Database, tenant_id: str, numbers: Sequence[str]) -> SeenWithoutWebhook | None:
    """Return the ticket with one of the numbers if its webhook is missing."""
    (rows,) = await database.call_as(tenant_id, _SEEN_WITHOUT_WEBHOOK, numbers=list(numbers))
    return SeenWithoutWebhook(**rows[0]) if rows else None
