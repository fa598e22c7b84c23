"""The erasable data of a ticket, a requester or a tenant, counted before erasure."""

from collections.abc import AsyncIterator, Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, Select, Text, case, cast, exists, func, null, or_, select, true
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, JSONPATH, array
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from storage import tombstones
from storage.copies import Passage, Ticket
from storage.jobs import OWN_EVENTS
from storage.models import AuditRecord, Job, JobState, Tombstone
from storage.paging import PAGE, among, pages
from storage.session import Database

HasNumbers = type[Ticket] | type[Job] | type[AuditRecord]
"""Tables whose rows are of a ticket."""
NOT_ENDED = (JobState.WAITING, JobState.RUNNING)
EVENT_LEFT = case((Job.event.in_(OWN_EVENTS), Job.event))
"""What the row of an erased job keeps of its event: our own words, without which it would count as a webhook's."""


@dataclass(frozen=True, slots=True)
class Which:
    """Scope of an erasure: a ticket, a requester's tickets, or the whole tenant."""

    tenant_id: str
    ticket_id: str | None = None
    requester: str | None = None

    @property
    def all(self) -> bool:
        return self.ticket_id is None and self.requester is None

    def names(self, model: HasNumbers) -> ColumnElement[bool]:
        if self.requester is not None:
            return model.requester == tombstones.of_requester(self.requester)
        return true() if self.ticket_id is None else _has(model, self.ticket_id)


def numbers(model: HasNumbers) -> ColumnElement[list[str]]:
    others = [Ticket.display_id] if issubclass(model, Ticket) else [model.desk_id, model.display_id]
    return func.array_remove(array([model.ticket_id, *others]), null(), type_=ARRAY(Text))


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


_OF_TICKETS: tuple[HasNumbers, ...] = (Ticket, Job, AuditRecord)


@dataclass(frozen=True, slots=True)
class Stored:
    """Number of erasable rows."""

    copies: int
    """Of tickets, and where all goes, of parts of solutions."""
    answers: int
    """GPT-4's, of jobs of these tickets or with one of them among the similar ones."""
    jobs: int
    """That have not ended."""
    unattributed: int
    """Copies and answers of which it is not known whose ticket they are of."""
    records: int = 0
    """Audit records, of these tickets or with one of them among the sources."""
    of_requester: bool = False
    """True if a row has the address of the requester that was named."""


@dataclass(frozen=True, slots=True)
class EndedJob:
    """A job ended by the erasure."""

    job_id: UUID
    ticket_id: str
    traceparent: str | None
    was_running: bool
    desk_id: str | None
    display_id: str | None
    """The ticket's other number, as in the row."""


async def stored(database: Database, which: Which, *, page: int = PAGE) -> Stored:
    count = _Counting(database, which.tenant_id, page)
    if which.all:
        copies = await count.of(Ticket.ticket_id) + await count.of(Passage.source_id)
        answers = await count.of(Job.ticket_id, Job.enhancement.is_not(None))
        not_ended = await count.of(Job.ticket_id, Job.state.in_(NOT_ENDED))
        return Stored(copies, answers, not_ended, 0, await count.of(AuditRecord.at))
    ticket_ids = await numbers_of(database, which.tenant_id, which.ticket_id) if which.ticket_id else set()
    unattributed, of_requester = 0, False
    if which.requester is not None:
        for column, model in ((Ticket.ticket_id, Ticket), (Job.ticket_id, Job), (AuditRecord.at, AuditRecord)):
            theirs = select(numbers(model).label("numbers")).where(which.names(model))
            ticket_ids.update(*[row.numbers async for row in count.rows(column, theirs)])
        theirs = sources_of_requester(which.requester)
        ticket_ids.update([row.number async for row in count.rows(AuditRecord.at, theirs)])
        named = func.lower(cast(Ticket.people, Text)).contains(tombstones.fold(which.requester))
        of_requester = bool(ticket_ids) or await count.of(Ticket.ticket_id, named) > 0
        unattributed = await count.of(Ticket.ticket_id, Ticket.requester.is_(None))
        unattributed += await count.of(Job.ticket_id, Job.requester.is_(None), Job.enhancement.is_not(None))
    copies = answers = not_ended = kept = 0
    async for those in pages(database, which.tenant_id, Ticket.ticket_id, page):
        async with database.tenant(which.tenant_id) as session:
            copied = (await session.scalars(select(numbers(Ticket)).where(those))).all()
            forgotten = ticket_ids | await tombstones.among(session, set().union(*copied))
        copies += sum(not forgotten.isdisjoint(each) for each in copied)
    async for those in pages(database, which.tenant_id, Job.ticket_id, page):
        async with database.tenant(which.tenant_id) as session:
            found = (await session.execute(JOBS.where(those))).all()
            forgotten = ticket_ids | await tombstones.among(session, tickets_of(found))
        answers += sum(job.answered and not forgotten.isdisjoint((*job.numbers, *job.named)) for job in found)
        not_ended += sum(job.not_ended and not forgotten.isdisjoint(job.numbers) for job in found)
    async for those in pages(database, which.tenant_id, AuditRecord.at, page):
        async with database.tenant(which.tenant_id) as session:
            kept += len(await forgotten_records(session, those, ticket_ids))
    return Stored(copies, answers, not_ended, unattributed, kept, of_requester)


def _numbers_in(path: str, where: InstrumentedAttribute[Any] = Job.enhancement) -> ColumnElement[list[str]]:
    found = func.jsonb_path_query_array(where, cast(path, JSONPATH))
    return func.coalesce(found, cast([], JSONB), type_=JSONB)


JOBS = select(
    Job.id,
    numbers(Job).label("numbers"),
    Job.enhancement.is_not(None).label("answered"),
    Job.state.in_(NOT_ENDED).label("not_ended"),
    # The second is the format of the release before.
    _numbers_in('$.sources[*] ? (@.kind == "ticket").number')
    .op("||")(_numbers_in("$.similar_tickets[*].ticket_id"))
    .label("named"),
)
"""Jobs, with the numbers of its ticket and those that each one's answer calls similar."""


def sources_of_requester(address: str) -> Select[Any]:
    """Return each `number` of an address' tickets by audit records.

    Their copies may be gone, and no other table has their requester.
    """
    source = func.jsonb_array_elements(AuditRecord.sources).table_valued("value", joins_implicitly=True).c.value
    told = cast(source, JSONB)
    both = func.array_remove(array([told["number"].astext, told["desk_id"].astext]), null(), type_=ARRAY(Text))
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


def tickets_of(jobs: Sequence[Any]) -> set[str]:
    return {str(number) for job in jobs for number in (*job.numbers, *job.named)}


async def jobs_among(database: Database, tenant_id: str, job_ids: Sequence[UUID]) -> dict[UUID, list[str]]:
    async with database.tenant(tenant_id) as session:
        rows = await session.execute(select(Job.id, numbers(Job).label("numbers")).where(among(Job.id, job_ids)))
        return {row.id: row.numbers for row in rows}


async def forgotten_records(
    session: AsyncSession, those: ColumnElement[bool], also: Set[str] = frozenset()
) -> list[tuple[UUID, datetime]]:
    """Return the keys of audit records of a forgotten ticket, requester or source.

    `also`: further forgotten numbers.
    """
    found = (await session.execute(_RECORDS.where(those))).all()
    forgotten = also | await tombstones.among(session, tickets_of(found))
    return [
        (each.job_id, each.at)
        for each in found
        if each.of_forgotten or not forgotten.isdisjoint((*each.numbers, *each.named))
    ]


@dataclass(frozen=True, slots=True)
class _Counting:
    database: Database
    tenant_id: str
    page: int

    async def rows(self, column: InstrumentedAttribute[Any], question: Select[Any]) -> AsyncIterator[Row[Any]]:
        async for those in pages(self.database, self.tenant_id, column, self.page):
            async with self.database.tenant(self.tenant_id) as session:
                found = (await session.execute(question.where(those))).all()
            for row in found:
                yield row

    async def of(self, column: InstrumentedAttribute[Any], *conditions: ColumnElement[bool]) -> int:
        question = select(func.count().label("number")).select_from(column.class_).where(*conditions)
        return sum([row.number async for row in self.rows(column, question)])
