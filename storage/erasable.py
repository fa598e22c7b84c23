"""What there is to erase of a ticket, a requester or a tenant: said, and counted before anything goes."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, Text, cast, func, null, or_, select, true
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, JSONPATH, array
from sqlalchemy.orm import InstrumentedAttribute

from storage import tombstones
from storage.copies import Passage, Ticket
from storage.models import Job, JobState
from storage.paging import PAGE, pages
from storage.session import Database

NOT_ENDED = (JobState.WAITING, JobState.RUNNING)


@dataclass(frozen=True, slots=True)
class Which:
    """What is to be erased of a tenant: one ticket, or all tickets of one address; neither of both is all there is."""

    tenant_id: str
    ticket_id: str | None = None
    requester: str | None = None

    @property
    def all(self) -> bool:
        """True if the tenant leaves."""
        return self.ticket_id is None and self.requester is None

    def names(self, model: type[Ticket] | type[Job]) -> ColumnElement[bool]:
        """Return True if a row is one of these, as far as it says so itself."""
        if self.requester is not None:
            return model.requester == tombstones.of_requester(self.requester)
        return true() if self.ticket_id is None else _has(model, self.ticket_id)


def numbers(model: type[Ticket] | type[Job]) -> ColumnElement[list[str]]:
    """The numbers that a row has of its ticket, which is forgotten by each of them: an array."""
    others = [Job.desk_id, Job.display_id] if model is Job else [Ticket.display_id]
    return func.array_remove(array([model.ticket_id, *others]), null(), type_=ARRAY(Text))


def _has(model: type[Ticket] | type[Job], number: str) -> ColumnElement[bool]:
    # Each by an index of its own, or a part of the key.
    if model is Job:
        return or_(Job.ticket_id == number, Job.desk_id == number, Job.display_id == number)
    return or_(Ticket.ticket_id == number, Ticket.display_id == number)


async def numbers_of(database: Database, tenant_id: str, number: str) -> set[str]:
    """A ticket's numbers, as far as rows of it tell the other one."""
    found = {number}
    async with database.tenant(tenant_id) as session:
        for model in (Ticket, Job):
            named = select(numbers(model)).where(_has(model, number))
            found.update(*(await session.scalars(named)).all())
    return found


@dataclass(frozen=True, slots=True)
class Stored:
    """How much there is to erase."""

    copies: int
    """Of tickets, and where all goes, of parts of solutions."""
    answers: int
    """GPT-4's, of jobs of these tickets or with one of them among the similar ones."""
    jobs: int
    """That have not ended."""
    unattributed: int
    """Copies and answers of which it is not known whose ticket they are of."""


async def stored(database: Database, which: Which, *, page: int = PAGE) -> Stored:
    """Count what `erasing.erase` would erase, going through `page` rows at a time."""
    count = _Counting(database, which.tenant_id, page)
    if which.all:
        copies = await count.of(Ticket.ticket_id) + await count.of(Passage.source_id)
        answers = await count.of(Job.ticket_id, Job.enhancement.is_not(None))
        not_ended = await count.of(Job.ticket_id, Job.state.in_(NOT_ENDED))
        return Stored(copies, answers, not_ended, 0)
    ticket_ids = await numbers_of(database, which.tenant_id, which.ticket_id) if which.ticket_id else set()
    unattributed = 0
    if which.requester is not None:
        for column, model in ((Ticket.ticket_id, Ticket), (Job.ticket_id, Job)):
            theirs = select(numbers(model).label("numbers")).where(which.names(model))
            ticket_ids.update(*[row.numbers async for row in count.rows(column, theirs)])
        unattributed = await count.of(Ticket.ticket_id, Ticket.requester.is_(None))
        unattributed += await count.of(Job.ticket_id, Job.requester.is_(None), Job.enhancement.is_not(None))
    copies = answers = not_ended = 0
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
    return Stored(copies, answers, not_ended, unattributed)


JOBS = select(
    Job.id,
    numbers(Job).label("numbers"),
    Job.enhancement.is_not(None).label("answered"),
    Job.state.in_(NOT_ENDED).label("not_ended"),
    func.coalesce(
        func.jsonb_path_query_array(Job.enhancement, cast("$.similar_tickets[*].ticket_id", JSONPATH)),
        cast([], JSONB),
        type_=JSONB,
    ).label("named"),
)
"""Jobs, with the numbers of its ticket and those that each one's answer calls similar."""


def tickets_of(jobs: Sequence[Row[Any]]) -> set[str]:
    """The tickets of jobs, and those that their answers name; by all of their numbers."""
    return {str(number) for job in jobs for number in (*job.numbers, *job.named)}


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
