"""GPT-4's answer in the row of a job: text, for whoever may read it."""

from typing import Any
from uuid import UUID

from sqlalchemy import select

from storage.models import Job
from storage.session import Database


async def answer_in_row(database: Database, tenant_id: str, job_id: UUID) -> dict[str, Any] | None:
    """Return the answer of a tenant's job; None where there is none, not yet or no more."""
    async with database.tenant(tenant_id) as session:
        answer: dict[str, Any] | None = await session.scalar(select(Job.enhancement).where(Job.id == job_id))
    return answer
