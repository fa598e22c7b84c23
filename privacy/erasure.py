"""Erasure on request: one ticket, one requester, or a whole tenant that leaves.

It erases texts and personal data. Rows of jobs keep ids, states and times until they are purged by age; if a tenant
leaves, they go too.

Tombstones are committed first, so that nothing new is written. They also record the remaining work: the rest is erased
page by page in short transactions, and the next erasure resumes an interrupted one. Each package has a database
function that erases one page of its own rows.
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import RowMapping, TextClause, func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from db.session import PAGE, Database, split
from privacy import tombstones
from privacy.tombstones import FORGOTTEN, NAMED_FORGOTTEN

# Separate statements: each may take the whole statement timeout.
_NUMBERS = [text(f"SELECT numbers_of_{rows}(:number, :requester)") for rows in ("copies", "jobs", "records")]
_UNFINISHED = text("SELECT unfinished_jobs(:running_only)")
_COUNT_COPIES = text("SELECT * FROM count_copies(CAST(:numbers AS text[]), :address, :after, :page)")
_COUNT_JOBS = text("SELECT * FROM count_jobs(CAST(:numbers AS text[]), :after, :page)")
_COUNT_RECORDS = text("SELECT * FROM count_records(CAST(:numbers AS text[]), :after, :page)")
_MARK_JOBS = text("SELECT * FROM mark_tickets_of_jobs(:requester, :after, :page)")
_MARK_RECORDS = text("SELECT * FROM mark_tickets_of_records(:requester, :after, :page)")
_ERASE_COPIES = text("SELECT * FROM erase_copies(:all, :ticket, :requester, :address, :after, :page)")
_ERASE_JOBS = text("""
    SELECT * FROM erase_jobs(CAST(:ids AS uuid[]), :all, :requester, :forgotten, :named, :after, :page)
""")
_ERASE_RECORDS = text("SELECT * FROM erase_records(:all, :after, :page)")
_ERASE_ROWS = text("SELECT * FROM erase_job_rows(:began, :after, :page)")
# The rest of a leaving tenant, a function for each package. The keys of the tombstones go last.
_ERASE_REST_OF_KNOWLEDGE = text("SELECT * FROM erase_rest_of_knowledge(:page)")
_ERASE_REST_OF_JOBS = text("SELECT * FROM erase_rest_of_jobs(:page)")
_ERASE_REST_OF_INTEGRATIONS = text("SELECT * FROM erase_rest_of_integrations(:page)")
_ERASE_REST_OF_PRIVACY = text("SELECT * FROM erase_rest_of_privacy(:page)")


@dataclass(frozen=True, slots=True)
class ErasureScope:
    """Scope of an erasure: a ticket, a requester's tickets, or the whole tenant."""

    tenant_id: str
    ticket_id: str | None = None
    requester: str | None = None

    @property
    def all(self) -> bool:
        """True for a whole tenant."""
        return self.ticket_id is None and self.requester is None

    @property
    def address(self) -> str | None:
        return None if self.requester is None else tombstones.fold(self.requester)


class Stored(NamedTuple):
    """Number of erasable rows."""

    copies: int
    """Copies of tickets; for a whole tenant, also parts of solutions."""
    answers: int
    """Model answers of these tickets' jobs, or of jobs that used one of these tickets."""
    unfinished_jobs: int
    unattributed: int
    """Copies and answers without a known requester."""
    records: int = 0
    is_requester_known: bool = False


class EndedJob(NamedTuple):
    """A job ended by the erasure."""

    job_id: UUID
    ticket_id: str
    traceparent: str | None
    was_running: bool
    desk_id: str | None
    display_id: str | None


async def stored(database: Database, scope: ErasureScope, *, page: int = PAGE) -> Stored:
    """Count the rows that an erasure would erase, page by page."""
    transaction = partial(database.tenant, scope.tenant_id)
    numbers = None
    if not scope.all:
        async with transaction() as session:
            numbers = await _numbers_of(session, scope, await _hash_of(session, scope))
    values = {"numbers": None if numbers is None else sorted(numbers), "address": scope.address, "page": page}
    totals: Counter[str] = Counter()
    for statement in (_COUNT_COPIES, _COUNT_JOBS, _COUNT_RECORDS):
        async for counts in _pages(transaction, statement, values):
            totals.update({name: count for name, count in counts.items() if name != "last"})
    by_requester = scope.requester is not None
    return Stored(
        totals["copies"],
        totals["answers"],
        totals["unfinished"],
        totals["unattributed"] if by_requester else 0,
        totals["records"],
        by_requester and bool(numbers or totals["naming"]),
    )


async def _hash_of(session: AsyncSession, scope: ErasureScope) -> bytes | None:
    if scope.requester is None:
        return None
    return await session.scalar(select(tombstones.of_requester(scope.requester)))


async def _numbers_of(session: AsyncSession, scope: ErasureScope, requester: bytes | None) -> set[str]:
    found = {scope.ticket_id} if scope.ticket_id else set()
    for numbers in _NUMBERS:
        found |= {*await session.scalars(numbers, {"number": scope.ticket_id, "requester": requester})}
    return found


async def _pages(
    transaction: Callable[[], AbstractAsyncContextManager[AsyncSession]],
    statement: TextClause,
    values: Mapping[str, object],
) -> AsyncIterator[RowMapping]:
    """Yield the result of each page, one transaction each, until no row is left."""
    after: Any = None
    while True:
        async with transaction() as session:
            result = (await session.execute(statement, {**values, "after": after})).mappings().one()
        yield result
        after = result["last"]
        if after is None:
            return


class Erased(NamedTuple):
    """Numbers of erased rows, and the ended jobs.

    `rows`: job rows, erased only if the tenant leaves.
    """

    copies: int
    answers: int
    ended: Sequence[EndedJob]
    running: int
    """Running jobs of the tenant: they may have read the erased texts, and may write them again."""
    rows: int = 0
    records: int = 0


async def erase(
    database: Database,
    scope: ErasureScope,
    *,
    job_rows: bool = True,
    page: int = PAGE,
    on_ended: Callable[[Sequence[EndedJob]], None] = lambda _: None,
) -> Erased:
    """Write tombstones, end unfinished jobs as skipped, and erase page by page.

    `on_ended` gets the ended jobs after each commit; after a failure, the next call continues. If the tenant leaves and
    `job_rows` is set, rows of jobs that had ended before are erased too. Jobs ended by the erasure keep their rows,
    because their messages may still arrive. Raises one of DATABASE_FAILURES.
    """
    work = _Erasure(database, scope, page, on_ended)
    began = await work.begin()
    await work.erase_jobs_in_batches(await work.unfinished_jobs())
    if scope.requester is not None:
        # Jobs and records may outlive the copies, so their tickets get tombstones too.
        await work.total(_MARK_JOBS)
        await work.total(_MARK_RECORDS)
    copies = await work.total(_ERASE_COPIES)
    # Running jobs may have read a copy before its erasure, and may write a text from it after `erase_jobs`.
    running_ids = await work.unfinished_jobs(running_only=True)
    await work.erase_jobs(None)
    await work.erase_jobs_in_batches(running_ids)
    records = await work.total(_ERASE_RECORDS)
    running = set(running_ids).intersection(await work.unfinished_jobs(running_only=True))
    rows = 0
    if scope.all:
        copies += await work.total(_ERASE_REST_OF_KNOWLEDGE)
        await work.total(_ERASE_REST_OF_JOBS)
        await work.total(_ERASE_REST_OF_INTEGRATIONS)
        rows = await work.total(_ERASE_ROWS, began=began) if job_rows else 0
        await work.total(_ERASE_REST_OF_PRIVACY)
    return Erased(copies, work.answers, work.ended, len(running), rows, records)


@dataclass(slots=True)
class _Erasure:
    database: Database
    scope: ErasureScope
    page: int
    on_ended: Callable[[Sequence[EndedJob]], None]
    requester: bytes | None = None
    answers: int = 0
    ended: list[EndedJob] = field(default_factory=list)

    @asynccontextmanager
    async def _exclusive_session(self) -> AsyncIterator[AsyncSession]:
        async with self.database.tenant(self.scope.tenant_id) as session:
            await tombstones.lock(session, shared=False)
            yield session

    def _pages(self, statement: TextClause, **values: object) -> AsyncIterator[RowMapping]:
        scope = self.scope
        target = {"all": scope.all, "ticket": scope.ticket_id, "requester": self.requester, "address": scope.address}
        return _pages(self._exclusive_session, statement, {**target, "page": self.page, **values})

    async def begin(self) -> datetime:
        async with self._exclusive_session() as session:
            self.requester = await _hash_of(session, self.scope)
            if self.scope.ticket_id is not None:
                numbers = await _numbers_of(session, self.scope, None)
                await tombstones.leave(session, self.scope.tenant_id, map(tombstones.of_ticket, sorted(numbers)))
            if self.scope.requester is not None:
                tombstone = tombstones.of_requester(self.scope.requester)
                await tombstones.leave(session, self.scope.tenant_id, [tombstone])
            began: datetime = (await session.execute(select(func.clock_timestamp()))).scalar_one()
        return began

    async def unfinished_jobs(self, *, running_only: bool = False) -> list[UUID]:
        async with self.database.tenant(self.scope.tenant_id) as session:
            return sorted(await session.scalars(_UNFINISHED, {"running_only": running_only}))

    async def total(self, statement: TextClause, **values: object) -> int:
        """Run the statement for all pages; return the sum of its counts."""
        total = 0
        async for result in self._pages(statement, **values):
            total += sum(count for name, count in result.items() if name != "last")
        return total

    async def erase_jobs_in_batches(self, job_ids: Sequence[UUID]) -> None:
        for batch in split(job_ids, self.page):
            await self.erase_jobs(batch)

    async def erase_jobs(self, job_ids: Sequence[UUID] | None) -> None:
        """Erase the texts of these jobs; None: of all jobs in scope."""
        ids = None if job_ids is None else list(job_ids)
        async for result in self._pages(_ERASE_JOBS, ids=ids, forgotten=FORGOTTEN, named=NAMED_FORGOTTEN):
            ended = [EndedJob(**job | {"job_id": UUID(job["job_id"])}) for job in result["ended"]]
            self.answers += result["answers"]
            self.ended += ended
            self.on_ended(ended)
