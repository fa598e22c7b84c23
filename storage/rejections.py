"""Webhooks that were refused, kept for some days so that support can see them beside the jobs."""

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from storage.models import Rejection
from storage.session import Database

MOST_PER_HOUR = 200


async def record(database: Database, tenant_id: str, ticket_id: str | None, status: int, reason: str) -> None:
    """Keep one rejection of a known tenant, unless an hour's share is used up: a flood must not fill the disk."""
    async with database.tenant(tenant_id) as session:
        recent = (
            select(func.count())
            .select_from(Rejection)
            .where(Rejection.rejected_at > func.now() - func.make_interval(0, 0, 0, 0, 1))
        )
        if (await session.scalar(recent) or 0) < MOST_PER_HOUR:
            await session.execute(
                insert(Rejection).values(tenant_id=tenant_id, ticket_id=ticket_id, status=status, reason=reason)
            )
