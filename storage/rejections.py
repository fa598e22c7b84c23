"""Webhooks that were refused, kept for some days so that support can see them beside the jobs."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select, text
from sqlalchemy.dialects.postgresql import insert

from storage.jobs import OWN_EVENTS
from storage.models import Rejection
from storage.session import Database

MOST_PER_HOUR = 200
MOST_OF_ANYONE_PER_HOUR = 50


async def record(
    database: Database, tenant_id: str, ticket_id: str | None, status: int, reason: str, *, proved: bool
) -> None:
    """Keep one rejection of a known tenant, unless an hour's share is used up: a flood must not fill the disk.

    Each reason has a share of its own, with a cause behind it another one: what a stranger has refused, which is all
    that is not `proved` to be of someone with a secret, takes no place of what the tenant's own desk does.
    """
    kind, caused = reason.partition(":")[0], ":" in reason
    most = MOST_PER_HOUR if proved else MOST_OF_ANYONE_PER_HOUR
    async with database.tenant(tenant_id) as session:
        recent = (
            select(func.count())
            .select_from(Rejection)
            .where(Rejection.rejected_at > func.now() - func.make_interval(0, 0, 0, 0, 1))
            .where(func.split_part(Rejection.reason, ":", 1) == kind)
            .where(Rejection.reason.contains(":") == caused)
        )
        if (await session.scalar(recent) or 0) < most:
            await session.execute(
                insert(Rejection).values(tenant_id=tenant_id, ticket_id=ticket_id, status=status, reason=reason)
            )


@dataclass(frozen=True, slots=True)
class RefusedWebhook:
    """One that named a ticket. `reason` has its cause behind a colon, where that was found."""

    at: datetime
    ticket_id: str
    status: int
    reason: str


@dataclass(frozen=True, slots=True)
class RefusedLately:
    """Those of a day of which no ticket could be read, by reason."""

    status: int
    reason: str
    count: int
    last_at: datetime


@dataclass(frozen=True, slots=True)
class Receiving:
    """What a tenant's webhooks met lately. `shares_used_up`: more may have been refused than are stored."""

    refused: Sequence[RefusedWebhook]
    since: datetime | None
    """Since when the newest one's reason is met without that any webhook was accepted in between."""
    unread: Sequence[RefusedLately]
    last_accepted_at: datetime | None
    shares_used_up: bool


_REFUSED = text(
    "SELECT rejected_at AS at, ticket_id, status, reason FROM rejections WHERE tenant_id = :tenant"
    " AND ticket_id = ANY (CAST(:numbers AS text[])) ORDER BY rejected_at DESC LIMIT 20"
)
_UNREAD = text(
    "SELECT status, reason, count(*) AS count, max(rejected_at) AS last_at FROM rejections WHERE tenant_id = :tenant"
    " AND ticket_id IS NULL AND rejected_at > now() - interval '1 day' GROUP BY 1, 2 ORDER BY last_at DESC LIMIT 5"
)
_SINCE = text("""
    SELECT min(r.rejected_at) AS since FROM rejections r,
        (SELECT x.reason, x.rejected_at FROM rejections x WHERE x.tenant_id = :tenant
         AND x.ticket_id = ANY (CAST(:numbers AS text[])) ORDER BY x.rejected_at DESC LIMIT 1) n
    WHERE r.tenant_id = :tenant AND r.reason = n.reason AND r.rejected_at > coalesce((
        SELECT max(j.accepted_at) FROM jobs j WHERE j.tenant_id = :tenant AND j.accepted_at < n.rejected_at
        AND coalesce(j.event, '') <> ALL (CAST(:own AS text[]))), '-infinity')
""")
_LAST_ACCEPTED = text(
    "SELECT accepted_at FROM jobs WHERE tenant_id = :tenant AND coalesce(event, '') <> ALL (CAST(:own AS text[]))"
    " ORDER BY accepted_at DESC LIMIT 1"
)
_USED_UP = text(
    "SELECT 1 AS one FROM rejections WHERE tenant_id = :tenant AND rejected_at > now() - interval '1 hour'"
    " GROUP BY split_part(reason, ':', 1), position(':' IN reason) > 0 HAVING count(*) >= :most LIMIT 1"
)


_WAS_REFUSED = text("SELECT 1 AS one FROM rejections WHERE tenant_id = :tenant AND ticket_id = :ticket LIMIT 1")


async def was_refused(database: Database, tenant_id: str, ticket_id: str) -> bool:
    """Return True if a webhook of the tenant that named this ticket was refused lately."""
    (found,) = await database.call_as(tenant_id, _WAS_REFUSED, ticket=ticket_id)
    return bool(found)


async def receiving(database: Database, tenant_id: str, numbers: Sequence[str]) -> Receiving:
    """Ask what became of a tenant's webhooks, and of those that named a ticket by one of its numbers."""
    questions = (_REFUSED, _SINCE, _UNREAD, _LAST_ACCEPTED, _USED_UP)
    values = {"numbers": list(numbers), "own": sorted(OWN_EVENTS), "most": MOST_OF_ANYONE_PER_HOUR}
    refused, since, unread, last, full = await database.call_as(tenant_id, *questions, **values)
    return Receiving(
        refused=[RefusedWebhook(**row) for row in refused],
        since=since[0]["since"],
        unread=[RefusedLately(**row) for row in unread],
        last_accepted_at=last[0]["accepted_at"] if last else None,
        shares_used_up=bool(full),
    )
