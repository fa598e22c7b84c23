"""Rejected webhooks, stored for some days for support."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import text

from db.session import Database
from jobs.repository import MAX_RECOVERED_PER_MINUTE, MAX_TENANTS, OWN_EVENTS

MAX_PER_HOUR = 200
MAX_FROM_UNKNOWN_PER_HOUR = 50
MAX_FULL_PER_HOUR = 60 * MAX_RECOVERED_PER_MINUTE  # refused with 429: reconciliation creates no more jobs in an hour
_RECORD = text("""
    INSERT INTO rejections (tenant_id, ticket_id, status, reason)
    SELECT current_setting('app.tenant_id'), CAST(:ticket AS text), :status, n.reason
    FROM (SELECT CAST(:reason AS text) AS reason) n
    WHERE :most > (
        SELECT count(*) FROM rejections r WHERE r.rejected_at > now() - interval '1 hour'
        AND split_part(r.reason, ':', 1) = split_part(n.reason, ':', 1)
        AND (position(':' IN r.reason) > 0) = (position(':' IN n.reason) > 0))
""")
_RECORD_FULL = text("""
    WITH earlier AS (
        DELETE FROM rejections r
        WHERE r.ticket_id = :ticket AND r.status = 429 AND r.rejected_at > now() - interval '1 hour'
    )
    INSERT INTO rejections (tenant_id, ticket_id, status, reason)
    SELECT current_setting('app.tenant_id'), CAST(:ticket AS text), 429, CAST(:reason AS text)
    WHERE :most > (
        SELECT count(*) FROM rejections r
        WHERE r.ticket_id <> :ticket AND r.status = 429 AND r.rejected_at > now() - interval '1 hour')
""")


async def record(
    database: Database, tenant_id: str, ticket_id: str | None, status: int, reason: str, *, proved: bool
) -> None:
    """Store a rejection of a known tenant, within an hourly limit of each reason."""
    # Without a valid secret, strangers must not use up the desk's limit.
    most = MAX_PER_HOUR if proved else MAX_FROM_UNKNOWN_PER_HOUR
    values = {"ticket": ticket_id, "status": status, "reason": reason, "most": most}
    await database.call_as(tenant_id, _RECORD, **values)


async def record_full(database: Database, tenant_id: str, ticket_id: str, reason: str) -> None:
    """Store a rejection with 429, the newest one of a ticket within an hour."""
    values = {"ticket": ticket_id, "reason": reason, "most": MAX_FULL_PER_HOUR}
    await database.call_as(tenant_id, _RECORD_FULL, **values)


@dataclass(frozen=True, slots=True)
class RefusedWebhook:
    """A refused webhook with a ticket; `reason` includes the cause after a colon."""

    at: datetime
    ticket_id: str
    status: int
    reason: str


@dataclass(frozen=True, slots=True)
class RefusalCount:
    """Refused webhooks of a day without a readable ticket, by reason."""

    status: int
    reason: str
    count: int
    last_at: datetime


@dataclass(frozen=True, slots=True)
class WebhookResults:
    """Recent results of a tenant's webhooks. `shares_used_up`: some were not stored."""

    refused: Sequence[RefusedWebhook]
    since: datetime | None  # first rejection for the newest one's reason since a webhook was last accepted
    without_ticket: Sequence[RefusalCount]
    last_accepted_at: datetime | None
    shares_used_up: bool


_REFUSED = text(
    "SELECT rejected_at AS at, ticket_id, status, reason FROM rejections WHERE tenant_id = :tenant"
    " AND ticket_id = ANY (CAST(:numbers AS text[])) ORDER BY rejected_at DESC LIMIT 20"
)
_WITHOUT_TICKET = text(
    "SELECT status, reason, count(*) AS count, max(rejected_at) AS last_at FROM rejections WHERE tenant_id = :tenant"
    " AND ticket_id IS NULL AND rejected_at > now() - interval '1 day' GROUP BY 1, 2 ORDER BY last_at DESC LIMIT 5"
)
# By the reason without its cause: viewers without access to the cause must not infer it from the time. Only the newest
# jobs are searched: a polled desk's may all be without a webhook.
_SINCE = text("""
    SELECT min(r.rejected_at) AS since FROM rejections r,
        (SELECT split_part(x.reason, ':', 1) AS kind, x.rejected_at FROM rejections x WHERE x.tenant_id = :tenant
         AND x.ticket_id = ANY (CAST(:numbers AS text[])) ORDER BY x.rejected_at DESC LIMIT 1) n
    WHERE r.tenant_id = :tenant AND split_part(r.reason, ':', 1) = n.kind AND r.rejected_at > coalesce((
        SELECT max(l.accepted_at) FROM (
            SELECT j.accepted_at, j.event FROM jobs j WHERE j.tenant_id = :tenant AND j.accepted_at < n.rejected_at
            ORDER BY j.accepted_at DESC LIMIT :newest) l
        WHERE coalesce(l.event, '') <> ALL (CAST(:own AS text[]))), '-infinity')
""")
LAST_ACCEPTED = text("""
    SELECT greatest((
        SELECT l.accepted_at FROM (
            SELECT j.accepted_at, j.event FROM jobs j WHERE j.tenant_id = :tenant
            ORDER BY j.accepted_at DESC LIMIT :newest) l
        WHERE coalesce(l.event, '') <> ALL (CAST(:own AS text[])) ORDER BY l.accepted_at DESC LIMIT 1),
        (SELECT r.last_webhook_at FROM reconciliations r WHERE r.tenant_id = :tenant)) AS accepted_at
""")
"""Time of the tenant's last accepted webhook, from its jobs or its reconciliation."""
# Parameters of `LAST_ACCEPTED`: events without a webhook, and the number of searched jobs.
OF_WEBHOOKS = {"own": sorted(OWN_EVENTS), "newest": 10_000}
_USED_UP = text(
    "SELECT 1 AS one FROM rejections WHERE tenant_id = :tenant AND rejected_at > now() - interval '1 hour'"
    " GROUP BY split_part(reason, ':', 1), position(':' IN reason) > 0 HAVING count(*) >= :most LIMIT 1"
)
_REFUSED_TENANTS = text("SELECT * FROM refused_tenants(:since, CAST(:own AS text[]), :most)")
_HAS_RECORD = text("""
    SELECT EXISTS (SELECT FROM rejections r WHERE r.tenant_id = :tenant AND r.ticket_id = :ticket)
        OR EXISTS (SELECT FROM missing_webhooks m WHERE m.tenant_id = :tenant AND m.job_id IS NULL
            AND :ticket IN (m.ticket_id, m.display_id)) AS has_record
""")


class RefusedTenant(NamedTuple):
    """A tenant whose last webhook was rejected."""

    tenant_id: str
    reason: str
    rejected_at: datetime


async def refused_tenants(database: Database, since: datetime) -> list[RefusedTenant]:
    """Return tenants whose last webhook was rejected after `since`."""
    rows = await database.call(_REFUSED_TENANTS, since=since, own=OF_WEBHOOKS["own"], most=MAX_TENANTS)
    return [RefusedTenant(**row) for row in rows]


async def has_webhook_record(database: Database, tenant_id: str, ticket_id: str) -> bool:
    """Return True if a webhook of the ticket was rejected or is missing."""
    ((row,),) = await database.call_as(tenant_id, _HAS_RECORD, ticket=ticket_id)
    return bool(row["has_record"])


async def receiving(database: Database, tenant_id: str, numbers: Sequence[str]) -> WebhookResults:
    """Return results of the tenant's webhooks; `numbers` are a ticket's."""
    statements = (_REFUSED, _SINCE, _WITHOUT_TICKET, LAST_ACCEPTED, _USED_UP)
    values = {"numbers": list(numbers), "most": MAX_FROM_UNKNOWN_PER_HOUR, **OF_WEBHOOKS}
    refused, since, without_ticket, (last,), full = await database.call_as(tenant_id, *statements, **values)
    return WebhookResults(
        refused=[RefusedWebhook(**row) for row in refused],
        since=since[0]["since"],
        without_ticket=[RefusalCount(**row) for row in without_ticket],
        last_accepted_at=last["accepted_at"],
        shares_used_up=bool(full),
    )
