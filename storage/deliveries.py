"""Which webhooks were seen in the last ten minutes, so that a duplicate gets the first one's job."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, and_, case, exists, func, literal_column, or_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from storage.models import DeliveryKey, Job, JobState

WINDOW = timedelta(minutes=10)
"""How long a delivery is known, from the first one on."""
_SIGNED = "signed:"
_WITHOUT_NOTE = (JobState.SKIPPED, JobState.FAILED)


def signed_key(digest: str) -> str:
    """The key of the very bytes that were signed: it stays known for its time, whatever became of their job."""
    return _SIGNED + digest


def is_signed_key(key: str) -> bool:
    """Return True for a key that `signed_key` made."""
    return key.startswith(_SIGNED)


async def remember(
    session: AsyncSession, tenant_id: str, job_id: UUID, dedupe_keys: Sequence[str], seen_at: ColumnElement[Any]
) -> UUID:
    """Take the keys of a delivery that came at `seen_at`; the first job's id while one of them is known, else `job_id`.

    A key is known for ten minutes from the first delivery. One that is not of signed bytes is free again once its job
    has ended without a note: a ticket that was closed and is open again may be sent again.
    """
    # In one order, so that two deliveries at once never wait for each other.
    keys = sorted(set(dedupe_keys))
    ours = {"tenant_id": tenant_id, "job_id": job_id, "expires_at": seen_at + WINDOW}
    fresh = insert(DeliveryKey).values([{**ours, "key": key} for key in keys])
    known = _is_known(seen_at)
    remembered = fresh.on_conflict_do_update(
        index_elements=["tenant_id", "key"],
        set_={
            name: case((known, getattr(DeliveryKey, name)), else_=getattr(fresh.excluded, name))
            for name in ("expires_at", "job_id")
        },
    ).returning(DeliveryKey.job_id)
    others = set((await session.scalars(remembered)).all()) - {job_id}
    if not others:
        return job_id
    first_id = min(others)
    newly_seen = (DeliveryKey.key.in_(keys), DeliveryKey.job_id == job_id)
    await session.execute(update(DeliveryKey).where(*newly_seen).values(job_id=first_id))
    return first_id


def _is_known(seen_at: ColumnElement[Any]) -> ColumnElement[bool]:
    # By its name: SQLAlchemy would read the table a second time inside the subquery of an insert.
    first_id: ColumnElement[Any] = literal_column("delivery_keys.job_id")
    without_note = exists().where(Job.id == first_id, Job.state.in_(_WITHOUT_NOTE))
    return and_(
        DeliveryKey.expires_at > seen_at,
        or_(func.starts_with(DeliveryKey.key, _SIGNED), ~without_note),
    )
