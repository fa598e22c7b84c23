"""Erasure on request: one ticket, one requester, or a whole tenant that leaves.

It erases texts and personal data. Rows of jobs keep ids, states and times until they are purged by age; if a tenant
leaves, they go too.

Tombstones are committed first, so that nothing new is written. They also record the remaining work: the rest is erased
page by page in short transactions, and the next erasure resumes an interrupted one.
"""

from collections.abc import AsyncIterator, Callable, Sequence, Set
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, Select, Text, case, cast, delete, exists, func, or_, select, text, tuple_, update
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, JSONPATH, array
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from db.models import AuditRecord, Job, JobEvent, JobState, Tombstone
from db.session import PAGE, Database, among, pages, split
from jobs.repository import FORGOTTEN, NAMED_FORGOTTEN, OWN_EVENTS
from knowledge.models import Passage, Ticket
from knowledge.repository import UNLIST, delete_passages
from privacy import tombstones

HasNumbers = type[Ticket] | type[Job] | type[AuditRecord]
_OF_TICKETS: tuple[HasNumbers, ...] = (Ticket, Job, AuditRecord)
_NOT_ENDED = (JobState.WAITING, JobState.RUNNING)
# The row of an erased job keeps our own words of its event, without which it would count as a webhook's.
_EVENT_LEFT = case((Job.event.in_(OWN_EVENTS), Job.event))
_SKIP = text(
    "SELECT s.id, s.ticket_id, s.traceparent, s.was_running, n.desk_id, n.display_id"
    " FROM skip_forgotten_jobs(:ids, :reason) s LEFT JOIN LATERAL numbers_of_job(:tenant, s.id) n ON true"
)
_ASK_AGAIN = text("SELECT ask_jobs_again(:ids, :reason)")
_REMOVE_FEEDBACK = text("DELETE FROM feedback WHERE job_id = ANY (:ids)")
# The search index goes with the copies.
_OTHERS = [
    text(f"DELETE FROM {name} WHERE ctid = ANY (ARRAY(SELECT ctid FROM {name} LIMIT :most))")  # noqa: S608 -- names below
    for name in (
        *("delivery_keys", "rejections", "spending", "tombstones", "listings", "passes"),
        *("secret_uses", "known_secrets", "missing_webhooks", "reconciliations"),
    )
]


@dataclass(frozen=True, slots=True)
class Which:
    """Scope of an erasure: a ticket, a requester's tickets, or the whole tenant."""

    tenant_id: str
    ticket_id: str | None = None
    requester: str | None = None

    @property
    def all(self) -> bool:
        return self.ticket_id is None and self.requester is None


def numbers(model: HasNumbers) -> ColumnElement[list[str]]:
    others = [Ticket.display_id] if issubclass(model, Ticket) else [model.desk_id, model.display_id]
    return func.array_remove(array([model.ticket_id, *others]), text("NULL"), type_=ARRAY(Text))


def _has(model: HasNumbers, number: str) -> ColumnElement[bool]:
    # Each by its own index, or a part of the key.
    if issubclass(model, Ticket):
        return or_(model.ticket_id == number, model.display_id == number)
    return or_(model.ticket_id == number, model.desk_id == number, model.display_id == number)


async def numbers_of(database: Database, tenant_id: str, number: str) -> set[str]:
    found = {number}
    async with database.tenant(tenant_id) as session:
        for model in _OF_TICKETS:
            named = select(numbers(model)).where(_has(model, number))
            found.update(*(await session.scalars(named)).all())
    return found


class Stored(NamedTuple):
    """Number of erasable rows."""

    copies: int
    """Of tickets, and where all goes, of parts of solutions."""
    answers: int
    """GPT-4's, of jobs of these tickets or with one of them among the similar ones."""
    jobs: int
    unattributed: int
    """Copies and answers of which it is not known whose ticket they are of."""
    records: int = 0
    of_requester: bool = False


class EndedJob(NamedTuple):
    """A job ended by the erasure."""

    job_id: UUID
    ticket_id: str
    traceparent: str | None
    was_running: bool
    desk_id: str | None
    display_id: str | None


async def stored(database: Database, which: Which, *, page: int = PAGE) -> Stored:
    async def count(model: type[Any], *conditions: ColumnElement[bool]) -> int:
        async with database.tenant(which.tenant_id) as session:
            return await session.scalar(select(func.count()).select_from(model).where(*conditions)) or 0

    if which.all:
        copies = await count(Ticket) + await count(Passage)
        answers, not_ended = await count(Job, Job.enhancement.is_not(None)), await count(Job, Job.state.in_(_NOT_ENDED))
        return Stored(copies, answers, not_ended, 0, await count(AuditRecord))
    ticket_ids = await numbers_of(database, which.tenant_id, which.ticket_id) if which.ticket_id else set()
    unattributed, of_requester = 0, False
    if which.requester is not None:
        async with database.tenant(which.tenant_id) as session:
            for model in _OF_TICKETS:
                ticket_ids.update(await session.scalars(_numbers_of_requester(model, which.requester)))
            ticket_ids.update(await session.scalars(_sources_of_requester(which.requester)))
        of_requester = bool(ticket_ids) or await count(Ticket, _names(which.requester)) > 0
        unattributed = await count(Ticket, Ticket.requester.is_(None))
        unattributed += await count(Job, Job.requester.is_(None), Job.enhancement.is_not(None))
    copies = answers = not_ended = kept = 0
    async for those in pages(database, which.tenant_id, Ticket.ticket_id, page):
        async with database.tenant(which.tenant_id) as session:
            copied = (await session.scalars(select(numbers(Ticket)).where(those))).all()
            forgotten = ticket_ids | await tombstones.among(session, set().union(*copied))
        copies += sum(not forgotten.isdisjoint(each) for each in copied)
    async for those in pages(database, which.tenant_id, Job.ticket_id, page):
        async with database.tenant(which.tenant_id) as session:
            found = (await session.execute(_JOBS.where(those))).all()
            forgotten = ticket_ids | await tombstones.among(session, _tickets_of(found))
        answers += sum(job.answered and not forgotten.isdisjoint((*job.numbers, *job.named)) for job in found)
        not_ended += sum(job.not_ended and not forgotten.isdisjoint(job.numbers) for job in found)
    async for those in pages(database, which.tenant_id, AuditRecord.at, page):
        async with database.tenant(which.tenant_id) as session:
            kept += len(await _forgotten_records(session, those, ticket_ids))
    return Stored(copies, answers, not_ended, unattributed, kept, of_requester)


def _numbers_in(path: str, where: InstrumentedAttribute[Any] = Job.enhancement) -> ColumnElement[list[str]]:
    found = func.jsonb_path_query_array(where, cast(path, JSONPATH))
    return func.coalesce(found, cast([], JSONB), type_=JSONB)


# Jobs with their tickets' numbers, and those that each one's answer calls similar.
_JOBS = select(
    Job.id,
    numbers(Job).label("numbers"),
    Job.enhancement.is_not(None).label("answered"),
    Job.state.in_(_NOT_ENDED).label("not_ended"),
    # The second is the format of answers without sources.
    _numbers_in('$.sources[*] ? (@.kind == "ticket").number')
    .op("||")(_numbers_in("$.similar_tickets[*].ticket_id"))
    .label("named"),
)


def _numbers_of_requester(model: HasNumbers, address: str) -> Select[Any]:
    theirs = model.requester == tombstones.of_requester(address)
    return select(func.unnest(numbers(model)).label("number")).where(theirs)


def _names(address: str) -> ColumnElement[bool]:
    return func.lower(cast(Ticket.people, Text)).contains(tombstones.fold(address))


def _sources_of_requester(address: str) -> Select[Any]:
    source = func.jsonb_array_elements(AuditRecord.sources).table_valued("value", joins_implicitly=True).c.value
    told = cast(source, JSONB)
    both = func.array_remove(array([told["number"].astext, told["desk_id"].astext]), text("NULL"), type_=ARRAY(Text))
    theirs = told["requester"].astext == func.encode(tombstones.of_requester(address), "hex")
    return select(func.unnest(both).label("number")).select_from(AuditRecord).where(theirs)


_RECORDS = select(
    AuditRecord.job_id,
    AuditRecord.at,
    numbers(AuditRecord).label("numbers"),
    _numbers_in("$[*].number", AuditRecord.sources)
    .op("||")(_numbers_in("$[*].desk_id", AuditRecord.sources))
    .label("named"),
    exists().where(Tombstone.hash == AuditRecord.requester).label("of_forgotten"),
)


def _tickets_of(jobs: Sequence[Any]) -> set[str]:
    return {str(number) for job in jobs for number in (*job.numbers, *job.named)}


async def jobs_among(database: Database, tenant_id: str, job_ids: Sequence[UUID]) -> dict[UUID, list[str]]:
    async with database.tenant(tenant_id) as session:
        rows = await session.execute(select(Job.id, numbers(Job).label("numbers")).where(among(Job.id, job_ids)))
        return {row.id: row.numbers for row in rows}


async def _forgotten_records(
    session: AsyncSession, those: ColumnElement[bool], also: Set[str] = frozenset()
) -> list[tuple[UUID, datetime]]:
    found = (await session.execute(_RECORDS.where(those))).all()
    forgotten = also | await tombstones.among(session, _tickets_of(found))
    return [
        (each.job_id, each.at)
        for each in found
        if each.of_forgotten or not forgotten.isdisjoint((*each.numbers, *each.named))
    ]


class Erased(NamedTuple):
    """Erased and ended rows. `rows` of jobs go only if a tenant leaves."""

    copies: int
    answers: int
    ended: Sequence[EndedJob]
    running: int
    """Other jobs of the tenant that workers were at: they may have read what was erased, and write it once more."""
    rows: int = 0
    records: int = 0


async def erase(
    database: Database,
    which: Which,
    *,
    job_rows: bool = True,
    page: int = PAGE,
    on_ended: Callable[[Sequence[EndedJob]], None] = lambda _: None,
) -> Erased:
    """Leave tombstones, then erase `page` rows at a time; skip unfinished jobs.

    `on_ended` gets those jobs after each commit: after a failure the next call does the rest. If a tenant leaves, rows
    of jobs that had ended go too, if `job_rows`. Jobs ended by the erasure keep their rows: their messages may still
    come. Raises one of DATABASE_FAILURES.
    """
    work = _Erasure(database, which, page, on_ended)
    began = await work.begin()
    await work.forget_these(await work.jobs_in(*_NOT_ENDED))
    if which.requester is not None:
        await work.mark_tickets_of_jobs()
    await work.erase_copies()
    # They may have read a copy before its erasure, and write about it after the next step.
    at_work = await work.jobs_in(JobState.RUNNING)
    async for page_of_all in work.pages(Job.ticket_id):
        await work.forget_jobs(page_of_all)
    await work.forget_these(at_work)
    await work.erase_records()
    running = set(at_work).intersection(await work.jobs_in(JobState.RUNNING))
    rows = await work.erase_the_rest(began if job_rows else None) if which.all else 0
    return Erased(work.copies, work.answers, work.ended, len(running), rows, work.records)


@dataclass(slots=True)
class _Erasure:
    database: Database
    which: Which
    page: int
    on_ended: Callable[[Sequence[EndedJob]], None]
    copies: int = 0
    answers: int = 0
    records: int = 0
    ended: list[EndedJob] = field(default_factory=list)

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[AsyncSession]:
        async with self.database.tenant(self.which.tenant_id) as session:
            await tombstones.lock(session, shared=False)
            yield session

    def pages(self, column: InstrumentedAttribute[Any]) -> AsyncIterator[ColumnElement[bool]]:
        return pages(self.database, self.which.tenant_id, column, self.page)

    async def begin(self) -> datetime:
        stones = []
        if self.which.ticket_id is not None:
            known = await numbers_of(self.database, self.which.tenant_id, self.which.ticket_id)
            stones += [tombstones.of_ticket(number) for number in sorted(known)]
        if self.which.requester is not None:
            stones.append(tombstones.of_requester(self.which.requester))
        async with self._alone() as session:
            await tombstones.leave(session, self.which.tenant_id, stones)
            began: datetime = (await session.execute(select(func.clock_timestamp()))).scalar_one()
        return began

    async def jobs_in(self, *states: JobState) -> list[UUID]:
        found: list[UUID] = []
        async with self.database.tenant(self.which.tenant_id) as session:
            for state in states:  # one at a time: each has an index
                found += (await session.scalars(select(Job.id).where(Job.state == state))).all()
        return sorted(found)

    async def erase_copies(self) -> None:
        """Erase copies with a tombstone: their own requester may be missing or outdated."""
        if self.which.all:
            self.copies += await self._erase_all(Ticket.ticket_id)
            return
        async for those in self.pages(Ticket.ticket_id):
            async with self._alone() as session:
                await self._mark(session, Ticket, those)
                copied = (await session.execute(select(Ticket.ticket_id, numbers(Ticket)).where(those))).all()
                forgotten = await tombstones.among(session, {number for _, both in copied for number in both})
                theirs = [ticket_id for ticket_id, both in copied if not forgotten.isdisjoint(both)]
                copies = await _changed(session, delete(Ticket).where(among(Ticket.ticket_id, theirs)))
                if self.which.requester is not None:
                    # Copies of others' tickets may name the requester too, e.g. as the person who recorded the ticket.
                    named = update(Ticket).where(those, _names(self.which.requester))
                    await session.execute(named.values(people=[]))
                listed = [*theirs, *([self.which.ticket_id] if self.which.ticket_id else [])]
                await session.execute(UNLIST, {"tickets": listed})
            self.copies += copies

    async def mark_tickets_of_jobs(self) -> None:
        """Mark forgotten tickets of jobs and records, which may outlive copies and jobs."""
        for column, model in ((Job.ticket_id, Job), (AuditRecord.at, AuditRecord)):
            async for those in self.pages(column):
                async with self._alone() as session:
                    await self._mark(session, model, those)

    async def erase_records(self) -> None:
        if self.which.all:
            self.records += await self._erase_all(AuditRecord.at)
            return
        async for those in self.pages(AuditRecord.at):
            async with self._alone() as session:
                doomed = await _forgotten_records(session, those)
                gone = delete(AuditRecord).where(tuple_(AuditRecord.job_id, AuditRecord.at).in_(doomed))
                records = await _changed(session, gone) if doomed else 0
            self.records += records

    async def _mark(self, session: AsyncSession, model: HasNumbers, those: ColumnElement[bool]) -> None:
        if self.which.requester is not None:
            theirs = _numbers_of_requester(model, self.which.requester).where(those)
            await tombstones.leave_for_tickets(session, self.which.tenant_id, theirs)
            if model is AuditRecord:
                sources = _sources_of_requester(self.which.requester).where(those)
                await tombstones.leave_for_tickets(session, self.which.tenant_id, sources)

    async def forget_these(self, job_ids: Sequence[UUID]) -> None:
        for some in split(job_ids, self.page):
            await self.forget_jobs(among(Job.id, some))

    async def forget_jobs(self, those: ColumnElement[bool]) -> None:
        async with self._alone() as session:
            # Waits for concurrent writes: one may store the requester of a ticket.
            not_ended = select(Job.id).where(those, Job.state.in_(_NOT_ENDED))
            await session.execute(not_ended.order_by(Job.id).with_for_update())
            await self._mark(session, Job, those)
            jobs = (await session.execute(_JOBS.where(those))).all()
            forgotten = set() if self.which.all else await tombstones.among(session, _tickets_of(jobs))
            own = [job.id for job in jobs if self.which.all or not forgotten.isdisjoint(job.numbers)]
            names = [job.id for job in jobs if not forgotten.isdisjoint(job.named)]
            skipped = {"tenant": self.which.tenant_id, "ids": own, "reason": FORGOTTEN}
            ended = [EndedJob(*row) for row in await session.execute(_SKIP, skipped)]
            # A worker whose job's answer names a forgotten ticket loses its claim, and the answer is not posted.
            await session.execute(_ASK_AGAIN, {"ids": names, "reason": NAMED_FORGOTTEN})
            holds_text = update(Job).where(among(Job.id, [*own, *names]), Job.enhancement.is_not(None))
            answers = await _changed(session, holds_text.values(enhancement=None))
            told = update(Job).where(among(Job.id, own), or_(Job.requester.is_not(None), Job.event.is_not(None)))
            await session.execute(told.values(requester=None, event=_EVENT_LEFT))
            await session.execute(_REMOVE_FEEDBACK, {"ids": own})
        self.answers += answers
        self.ended += ended
        self.on_ended(ended)

    async def erase_the_rest(self, rows_ended_before: datetime | None) -> int:
        self.copies += await delete_passages(self.database, self.which.tenant_id)
        for statement in _OTHERS:
            erased = self.page
            while erased == self.page:
                async with self._alone() as session:
                    erased = await _changed(session, statement, {"most": self.page})
        rows = 0
        if rows_ended_before is not None:
            rows = await self._erase_all(Job.ticket_id, Job.finished_at < rows_ended_before)
            await self._erase_all(JobEvent.job_id, ~exists().where(Job.id == JobEvent.job_id))
        async with self._alone() as session:
            await session.execute(text("DELETE FROM tombstone_keys"))
        return rows

    async def _erase_all(self, column: InstrumentedAttribute[Any], *conditions: ColumnElement[bool]) -> int:
        erased = 0
        async for those in self.pages(column):
            async with self._alone() as session:
                erased += await _changed(session, delete(column.class_).where(those, *conditions))
        return erased


async def _changed(session: AsyncSession, statement: Any, values: dict[str, Any] | None = None) -> int:
    return int((await session.execute(statement, values)).rowcount)  # type: ignore[attr-defined]
