"""What the relay asks of the table of jobs, across tenants: ids and counts, through the narrow functions."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import text

from storage.jobs import Published
from storage.session import Database


async def _published(database: Database, call: str, **values: object) -> list[Published]:
    async with database.across_tenants() as session:
        rows = await session.execute(text(f"SELECT * FROM {call}"), values)  # noqa: S608 -- `call` is ours, below
        return [_of_row(dict(row)) for row in rows.mappings()]


def _of_row(row: dict[str, Any]) -> Published:
    return Published(job_id=row.pop("id"), **row)


async def take_due(database: Database, most: int) -> list[Published]:
    """Jobs that are due and have no message in Redis, marked as published."""
    return await _published(database, "take_due_jobs(:most)", most=most)


async def recover(database: Database, most: int) -> list[Published]:
    """Jobs whose worker fell silent and that have attempts left, now waiting again."""
    return await _published(database, "recover_jobs(:most)", most=most)


async def fail_lost(database: Database, most: int, reason: str) -> list[Published]:
    """Jobs whose worker fell silent in their last attempt, now failed; one whose note may be there gets a last look."""
    return await _published(database, "fail_lost_jobs(:most, :reason)", most=most, reason=reason)


async def expire(database: Database, most: int, reason: str) -> list[Published]:
    """Jobs past their deadline that no worker holds, now failed."""
    return await _published(database, "expire_jobs(:most, :reason)", most=most, reason=reason)


async def count_published(database: Database) -> int:
    """How many jobs should have a message in Redis."""
    async with database.across_tenants() as session:
        return int(await session.scalar(text("SELECT count_published_jobs()")) or 0)


async def published(database: Database, most: int) -> dict[UUID, float]:
    """The oldest of those, with the seconds since each was published."""
    async with database.across_tenants() as session:
        rows = await session.execute(text("SELECT * FROM published_jobs(:most)"), {"most": most})
        return {row.id: row.published_seconds for row in rows}


async def take_lost(database: Database, job_ids: Sequence[UUID]) -> list[Published]:
    """Those whose message was lost, marked as published anew."""
    return await _published(database, "take_lost_jobs(:ids)", ids=list(job_ids))


async def unpublish(database: Database, job_ids: Sequence[UUID]) -> None:
    """Redis did not take these: the relay tries again."""
    async with database.across_tenants() as session:
        await session.execute(text("SELECT unpublish_jobs(:ids)"), {"ids": list(job_ids)})


async def purge_short_lived(database: Database) -> None:
    """Delete delivery keys that ran out and old rejections."""
    async with database.across_tenants() as session:
        await session.execute(text("SELECT purge_short_lived()"))
