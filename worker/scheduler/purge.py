"""Purging by age: texts first, whole rows later, in short transactions."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from sqlalchemy import text

from db.session import DATABASE_FAILURES, Database, is_away, is_locked
from integrations.llm import spending
from privacy import audit

_BATCH = 500
BATCH_SECONDS = 40.0
"""Longest time for one batch; the server gives its statement less."""


@dataclass(frozen=True, slots=True)
class Purged:
    """Number of purged rows of each kind."""

    answers: int
    copies: int
    jobs: int

    def __bool__(self) -> bool:
        return bool(self.answers or self.copies or self.jobs)


async def purge_by_age(
    database: Database,
    *,
    text_days: int,
    job_days: int,
    audit_days: Mapping[str, int | None],
    has_left: Callable[[str], bool] = lambda _: False,
    batch: int = _BATCH,
    before_each: Callable[[], None] = lambda: None,
    on_failure: Callable[[str, Exception], None],
) -> Purged:
    """Remove data that is too old, across tenants; call `before_each` batch.

    Answers of GPT-4 go `text_days` after their job's end, copies `text_days` after the desk last showed them. Rows, and
    a day's spending, go after `job_days`. Unfinished jobs keep everything.

    `audit_days`: tenant id -> retention of audit records, None if unknown. Other tenants' records go if `has_left`.

    `on_failure` gets the kinds that the database refuses to purge ("answers", "tickets"). Raises one of
    DATABASE_FAILURES, or TimeoutError, if the database is away; completed batches stay purged.
    """

    @contextmanager
    def stops_no_other(kind: str) -> Iterator[None]:
        try:
            yield
        except DATABASE_FAILURES as failure:
            if is_away(failure) and not is_locked(failure):
                raise
            on_failure(kind, failure)

    async def batches(one: Callable[[], Awaitable[int | None]]) -> int:
        purged, count = 0, batch
        while count == batch:
            before_each()
            async with asyncio.timeout(BATCH_SECONDS):
                count = await one() or 0
            purged += count
        return purged

    async def purge(kind: str, days: int) -> int:
        question, values = text(f"SELECT purge_{kind}(:days, :most)"), {"days": days, "most": batch}
        with stops_no_other(kind):
            return await batches(lambda: database.call_for_one(question, **values))
        return 0

    async def purge_records(tenant_id: str, days: int) -> None:
        await batches(lambda: audit.purge(database, tenant_id, days, batch))

    answers = await purge("answers", text_days)
    copies = await purge("tickets", text_days)
    copies += await purge("passages", text_days)
    await purge("listings", text_days)
    for tenant_id, days in audit_days.items():
        with stops_no_other("spending"):
            await batches(partial(spending.purge, database, tenant_id, job_days))
        if days is not None:
            with stops_no_other("audit records"):
                await purge_records(tenant_id, days)
    with stops_no_other("audit records"):
        before_each()
        async with asyncio.timeout(BATCH_SECONDS):
            others = [tenant_id for tenant_id in await audit.tenants(database) if tenant_id not in audit_days]
        for tenant_id in filter(has_left, others):
            await purge_records(tenant_id, 0)
    return Purged(answers, copies, await purge("jobs", job_days))
