"""Webhooks that were refused, kept for some days so that support can see them beside the jobs."""

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

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
