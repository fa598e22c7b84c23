"""Which webhooks were seen in the last ten minutes, so that a duplicate gets the first one's job."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import case, func, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from storage.models import DeliveryKey

_WINDOW = text("now() + interval '10 minutes'")


async def remember(session: AsyncSession, tenant_id: str, job_id: UUID, dedupe_keys: Sequence[str]) -> UUID:
    """Ten minutes, sliding: the first job's id while one of the keys lives, `job_id` itself after that."""
    # In one order, so that two deliveries at once never wait for each other.
    keys = sorted(set(dedupe_keys))
    ours = {"tenant_id": tenant_id, "job_id": job_id, "expires_at": _WINDOW}
    fresh = insert(DeliveryKey).values([{**ours, "key": key} for key in keys])
    remembered = fresh.on_conflict_do_update(
        index_elements=["tenant_id", "key"],
        set_={
            "expires_at": fresh.excluded.expires_at,
            "job_id": case((DeliveryKey.expires_at > func.now(), DeliveryKey.job_id), else_=fresh.excluded.job_id),
        },
    ).returning(DeliveryKey.job_id)
    others = set((await session.scalars(remembered)).all()) - {job_id}
    if not others:
        return job_id
    first_id = min(others)
    newly_seen = (DeliveryKey.key.in_(keys), DeliveryKey.job_id == job_id)
    await session.execute(update(DeliveryKey).where(*newly_seen).values(job_id=first_id))
    return first_id
