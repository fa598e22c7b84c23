"""Erasing at a person's word: one ticket, all of one requester, or all of a tenant that leaves.

What is erased is text, and what tells whose it was. Rows of jobs have ids, states and times besides, which stay until
they are purged by age; only where all of a tenant goes, they go too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Text, cast, delete, func, or_, select, true, union, update
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, JSONPATH
from sqlalchemy.ext.asyncio import AsyncSession

from storage import tombstones
from storage.jobs import FORGOTTEN
from storage.models import DeliveryKey, Job, JobState, Passage, Rejection, Ticket, Tombstone, TombstoneKey
from storage.session import Database

_NOT_ENDED = (JobState.WAITING, JobState.RUNNING)


@dataclass(frozen=True, slots=True)
class Which:
    """What is to be erased of a tenant: one ticket, or all tickets of one address; neither of both is all there is."""

    tenant_id: str
    ticket_id: str | None = None
    requester: str | None = None

    @property
    def all(self) -> bool:
        """Whether the tenant leaves."""
        return self.ticket_id is None and self.requester is None


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


@dataclass(frozen=True, slots=True)
class EndedJob:
    """A job that was ended by this."""

    job_id: UUID
    ticket_id: str
    traceparent: str | None
    was_running: bool


@dataclass(frozen=True, slots=True)
class Erased:
    """What was erased and ended. `rows` of jobs are erased only where all of a tenant goes."""

    copies: int
    answers: int
    ended: Sequence[EndedJob]
    ticket_ids: Sequence[str]
    running: int
    """Other jobs of the tenant that workers were at: they may have read what was erased, and write it once more."""
    rows: int = 0


async def stored(database: Database, which: Which) -> Stored:
    """Count what `erase` would erase."""
    async with database.tenant(which.tenant_id) as session:
        ticket_ids = await _ticket_ids(session, which)

        async def count(model: Any, *conditions: ColumnElement[bool]) -> int:
            return int(await session.scalar(select(func.count()).select_from(model).where(*conditions)) or 0)

        copies = await count(Ticket, _of(Ticket, which, ticket_ids))
        unattributed = 0
        if which.requester is not None:
            unattributed = await count(Ticket, Ticket.requester.is_(None))
            unattributed += await count(Job, Job.requester.is_(None), Job.enhancement.is_not(None))
        return Stored(
            copies=copies + (await count(Passage) if which.all else 0),
            answers=await count(Job, Job.enhancement.is_not(None), _holds_text_of(which, ticket_ids)),
            jobs=await count(Job, Job.state.in_(_NOT_ENDED), _of(Job, which, ticket_ids)),
            unattributed=unattributed,
        )


async def erase(database: Database, which: Which, *, job_rows: bool = True) -> Erased:
    """Erase it and leave tombstones, in one transaction; jobs that have not ended end as skipped.

    Where all of a tenant goes, rows of jobs that had ended go too, if `job_rows`. Those that end by this stay: their
    messages may still come.
    """
    async with database.tenant(which.tenant_id) as session:
        await tombstones.lock(session, which.tenant_id, shared=False)
        # Who writes into one of them just now is waited for: whose ticket it is of may be what he writes.
        await session.execute(select(Job.id).where(Job.state.in_(_NOT_ENDED)).order_by(Job.id).with_for_update())
        ticket_ids = await _ticket_ids(session, which)
        stones = [tombstones.of_ticket(ticket_id) for ticket_id in ticket_ids]
        if which.requester is not None:
            stones.append(tombstones.of_requester(which.requester))
        await tombstones.leave(session, which.tenant_id, stones)
        ended = await _end_jobs(session, _of(Job, which, ticket_ids))
        await _ask_again(session, ticket_ids)
        holds_text = _holds_text_of(which, ticket_ids)
        answers = await _changed(
            session, update(Job).where(holds_text, Job.enhancement.is_not(None)).values(enhancement=None)
        )
        await _changed(session, update(Job).where(_of(Job, which, ticket_ids)).values(requester=None, event=None))
        copies = await _changed(session, delete(Ticket).where(_of(Ticket, which, ticket_ids)))
        running = await session.scalar(select(func.count()).select_from(Job).where(Job.state == JobState.RUNNING))
        rows = 0
        if which.all:
            copies += await _changed(session, delete(Passage))
            for model in (DeliveryKey, Rejection, Tombstone, TombstoneKey):
                await session.execute(delete(model))
            if job_rows:
                these = [job.job_id for job in ended]
                rows = await _changed(session, delete(Job).where(Job.id.not_in(these)))
    return Erased(copies, answers, ended, ticket_ids, int(running or 0), rows)


async def jobs_among(database: Database, tenant_id: str, job_ids: Sequence[UUID]) -> dict[UUID, str]:
    """Those of these jobs that are the tenant's, with the ticket of each."""
    async with database.tenant(tenant_id) as session:
        rows = await session.execute(select(Job.id, Job.ticket_id).where(Job.id.in_(job_ids)))
        return {row.id: row.ticket_id for row in rows}


async def _ticket_ids(session: AsyncSession, which: Which) -> list[str]:
    if which.requester is None:
        return [] if which.ticket_id is None else [which.ticket_id]
    theirs = tombstones.of_requester(which.requester)
    found = union(
        select(Ticket.ticket_id).where(Ticket.requester == theirs),
        select(Job.ticket_id).where(Job.requester == theirs),
    )
    return sorted((await session.scalars(found)).all())


def _of(model: type[Ticket] | type[Job], which: Which, ticket_ids: Sequence[str]) -> ColumnElement[bool]:
    return true() if which.all else model.ticket_id.in_(ticket_ids)


def _holds_text_of(which: Which, ticket_ids: Sequence[str]) -> ColumnElement[bool]:
    """Jobs of these tickets, and jobs whose answer names as similar one of them, or one that was forgotten before."""
    return or_(_of(Job, which, ticket_ids), _names_one(ticket_ids))


def _names_one(ticket_ids: Sequence[str]) -> ColumnElement[bool]:
    named = [{"similar_tickets": [{"ticket_id": ticket_id}]} for ticket_id in ticket_ids]
    path = cast("$.similar_tickets[*].ticket_id", JSONPATH)
    each: ColumnElement[str] = func.jsonb_path_query(Job.enhancement, path).column_valued("named")
    ticket_id: ColumnElement[str] = each.op("#>>")(cast([], ARRAY(Text)))
    # A job that had read the copy may have written its answer since, when nothing else tells whose ticket that was.
    of_stone = select(each).where(tombstones.of_ticket(ticket_id).in_(select(Tombstone.hash)))
    return or_(Job.enhancement.op("@>", is_comparison=True)(func.any(cast(named, ARRAY(JSONB)))), of_stone.exists())


async def _end_jobs(session: AsyncSession, condition: ColumnElement[bool]) -> list[EndedJob]:
    """The worker that runs one loses its claim, and hears of it at its next write."""
    question = select(Job.id, Job.ticket_id, Job.traceparent, Job.state).where(Job.state.in_(_NOT_ENDED), condition)
    found = (await session.execute(question.order_by(Job.id).with_for_update())).all()
    end = update(Job).where(Job.id.in_([row.id for row in found]))
    nobody: dict[str, Any] = {"lease_owner": None, "lease_until": None, "claim_token": None}
    ended = {"state": JobState.SKIPPED, "reason": FORGOTTEN, "finished_at": func.clock_timestamp()}
    await session.execute(end.values(**nobody, **ended))
    return [EndedJob(row.id, row.ticket_id, row.traceparent, row.state == JobState.RUNNING) for row in found]


async def _ask_again(session: AsyncSession, ticket_ids: Sequence[str]) -> None:
    """A worker whose job's answer names one of them loses its claim, and with it the answer: it is not posted."""
    nobody: dict[str, Any] = {"lease_owner": None, "lease_until": None, "claim_token": None, "published_at": None}
    again = update(Job).where(Job.state == JobState.RUNNING, _names_one(ticket_ids))
    await session.execute(
        again.values(state=JobState.WAITING, attempt=Job.attempt - 1, due_at=func.clock_timestamp(), **nobody)
    )


async def _changed(session: AsyncSession, statement: Any) -> int:
    """How many rows a statement changed."""
    return int((await session.execute(statement)).rowcount)  # type: ignore[attr-defined]
