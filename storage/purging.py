"""What is kept only for a time: texts first, whole rows later. In batches, each a short transaction of its own."""

from dataclasses import dataclass

from sqlalchemy import text

from storage.session import Database

_BATCH = 500


@dataclass(frozen=True, slots=True)
class Purged:
    """How many there were of each."""

    answers: int
    copies: int
    jobs: int

    def __bool__(self) -> bool:
        return bool(self.answers or self.copies or self.jobs)


async def purge_by_age(database: Database, *, text_days: int, job_days: int, batch: int = _BATCH) -> Purged:
    """Remove what is too old, across tenants.

    Answers of GPT-4 go `text_days` after their job's end, copies of tickets and solutions `text_days` after the desk
    last listed them, whole rows `job_days` after the job's end. A job that has not ended keeps everything.
    """
    answers = await _all(database, "purge_answers", text_days, batch)
    copies = await _all(database, "purge_tickets", text_days, batch)
    copies += await _all(database, "purge_passages", text_days, batch)
    return Purged(answers, copies, await _all(database, "purge_jobs", job_days, batch))


async def _all(database: Database, function: str, days: int, batch: int) -> int:
    purged = 0
    while True:
        async with database.across_tenants() as session:
            question = text(f"SELECT {function}(:days, :most)")
            count = int(await session.scalar(question, {"days": days, "most": batch}) or 0)
        purged += count
        if count < batch:
            return purged
