"""An attempt at a job: claimed, answered, ended or given back. Each function is one short transaction.

A worker's writes are bound to its claim by the claim's token: when the claim ran out, or the job was claimed, retried
or ended by anybody since, they raise LeaseLost and change nothing.
"""

import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, func, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from storage.models import Job, JobState
from storage.session import Database

LAST_LOOK_SECONDS = 300.0
"""How long a worker has for the last look at a ticket whose note may be there."""

LONGEST_LIFE_SECONDS = 24 * 3600.0
SEEN_OPEN_SECONDS = 3600.0
"""How long it counts that a ticket was seen open: a job that is held back meanwhile does not look again."""
MOST_ATTEMPTS = 8
ANOTHER_FIRST_SECONDS = 15.0
"""How long a job waits for another one of its ticket before it looks again."""
_ECHO_SECONDS = 600.0


_LIMITS = {
    "attempts": MOST_ATTEMPTS,
    "wait": ANOTHER_FIRST_SECONDS,
    "longest": LONGEST_LIFE_SECONDS,
    "echo": _ECHO_SECONDS,
}
_CLAIM = text("SELECT * FROM claim_job(:id, :owner, :token, :lease, :attempts, :wait, :longest, :echo)")


class LeaseLost(Exception):
    """This worker's claim ran out; the job belongs to whoever claimed it since."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One attempt's hold on a job."""

    job_id: UUID
    token: UUID
    """This claim's own; the owner, a process, may claim the same job again, and with the same number of attempts."""
    owner: str
    tenant_id: str
    ticket_id: str
    attempt: int
    traceparent: str | None
    waiting_since: datetime
    claimed_at: datetime
    deadline_at: datetime
    started_before: bool
    """Whether there was an attempt before this one, even one that was given back."""
    answered: bool
    """Whether an earlier attempt committed GPT-4's answer."""
    note_attempted_at: datetime | None
    """When an earlier attempt posted the note, or was about to."""
    seen_open_at: datetime | None
    """When an attempt that was then held back saw the ticket open."""
    enhanced: bool
    """Whether another job has put its note into this ticket, or may have; never of a job that a person asked for."""
    echo: bool
    """Whether another job has just left a failure note in this ticket; likewise."""
    another_first: bool
    """Whether another job of this ticket has to come to its end first: the job waits on, and nobody holds it."""
    asked_at: float = field(default_factory=time.monotonic, compare=False)
    """This process's stopwatch right before the claim: what has passed since then is told without its clock."""

    def seconds_left(self) -> float:
        """Until the job's deadline, by the database's clock alone: a worker's may be minutes off."""
        at_claim = (self.deadline_at - self.claimed_at).total_seconds()
        return at_claim - (time.monotonic() - self.asked_at)

    def saw_open_lately(self) -> bool:
        """Whether the ticket was seen open in the last hour, and nothing but holds came since."""
        seen = self.seen_open_at
        return seen is not None and (self.claimed_at - seen).total_seconds() < SEEN_OPEN_SECONDS


async def claim(database: Database, job_id: UUID, owner: str, lease_seconds: float) -> Claim | None:
    """Take the job if it waits or its lease ran out; None when there is nothing to take.

    A job that is told of `another_first` was not taken.
    """
    token, asked_at = uuid4(), time.monotonic()
    values = {"id": job_id, "owner": owner, "token": token, "lease": lease_seconds}
    async with database.across_tenants() as session:
        found = await session.execute(_CLAIM, values | _LIMITS)
        row = found.mappings().one_or_none()
    return None if row is None else Claim(job_id=job_id, token=token, owner=owner, asked_at=asked_at, **row)


async def _write(database: Database, held: Claim, **values: Any) -> None:
    """Change the row if the claim still holds. Raises LeaseLost."""
    async with database.tenant(held.tenant_id) as session:
        written = await session.scalar(
            update(Job)
            .where(
                Job.id == held.job_id,
                Job.state == JobState.RUNNING,
                Job.claim_token == held.token,
                Job.lease_until > func.clock_timestamp(),
            )
            .values(**values)
            .returning(Job.id)
        )
        if written is None and not await _written_before(session, held, values):
            raise LeaseLost


async def _written_before(session: AsyncSession, held: Claim, values: dict[str, Any]) -> bool:
    """Whether this very change is in the row: its commit went through, and only the server's word for it was lost.

    A claim frees its job once, and the token stays in the row until somebody else does anything with it.
    """
    if "state" not in values:
        return False
    # What is an expression (a time) is the database's to compute, and the publication is the relay's to change.
    plain = {"attempt": held.attempt}
    plain |= {name: value for name, value in values.items() if not isinstance(value, ColumnElement)}
    plain.pop("published_at", None)
    columns = [Job.__table__.c[name] for name in plain]
    ours = select(*columns).where(Job.id == held.job_id, Job.claim_token == held.token)
    found = (await session.execute(ours)).one_or_none()
    return found is not None and tuple(found) == tuple(plain.values())


def _from_now(seconds: float) -> Any:
    return func.clock_timestamp() + _interval(seconds)


def _interval(seconds: float) -> Any:
    return func.make_interval(0, 0, 0, 0, 0, 0, seconds)


async def renew_lease(database: Database, held: Claim, lease_seconds: float) -> None:
    """Hold the job for `lease_seconds` from now. Raises LeaseLost."""
    await _write(database, held, lease_until=_from_now(lease_seconds))


async def load_answer(database: Database, held: Claim) -> dict[str, Any] | None:
    """GPT-4's answer, as an earlier attempt committed it."""
    async with database.tenant(held.tenant_id) as session:
        answer: dict[str, Any] | None = await session.scalar(select(Job.enhancement).where(Job.id == held.job_id))
    return answer


async def save_answer(database: Database, held: Claim, answer: dict[str, Any], model: str) -> None:
    """Commit GPT-4's answer before anything is done with it. Raises LeaseLost."""
    await _write(database, held, enhancement=answer, model=model)


async def about_to_post(database: Database, held: Claim, lease_seconds: float) -> None:
    """Note that the note may be in the ticket from now on, with a fresh lease for the posting. Raises LeaseLost."""
    await _write(database, held, note_attempted_at=func.clock_timestamp(), lease_until=_from_now(lease_seconds))


async def not_posted(database: Database, held: Claim) -> None:
    """Take `about_to_post` of this claim back: the desk surely has no note of it. Raises LeaseLost."""
    await _write(database, held, note_attempted_at=held.note_attempted_at)


async def note_not_there(database: Database, held: Claim) -> None:
    """Note that the note of an earlier attempt did not come, and is not to be looked for again. Raises LeaseLost."""
    await _write(database, held, note_attempted_at=None)


async def seen_open(database: Database, held: Claim) -> None:
    """Note that the ticket was just seen open, for the attempt that follows a hold. Raises LeaseLost."""
    await _write(database, held, seen_open_at=func.clock_timestamp())


async def may_have_posted(database: Database, held: Claim) -> bool:
    """Whether the note may be in the ticket, by this attempt or an earlier one."""
    async with database.tenant(held.tenant_id) as session:
        question = select(Job.note_attempted_at).where(Job.id == held.job_id)
        return await session.scalar(question) is not None


async def complete(database: Database, held: Claim, note_id: str) -> None:
    """The note is in the ticket. Raises LeaseLost."""
    await _write(database, held, **_ended(JobState.COMPLETED), reason=None, note_id=note_id)


async def skip(database: Database, held: Claim, reason: str) -> None:
    """The ticket is gone or closed. Raises LeaseLost."""
    await _write(database, held, **_ended(JobState.SKIPPED), reason=reason)


async def fail(database: Database, held: Claim, reason: str) -> None:
    """No attempt follows. Raises LeaseLost."""
    await _write(database, held, **_ended(JobState.FAILED), reason=reason)


async def retry_later(database: Database, held: Claim, seconds: float, reason: str) -> None:
    """Another attempt is due in `seconds`; the relay publishes it then. Raises LeaseLost."""
    later = {"due_at": _from_now(seconds), "published_at": None, "seen_open_at": None}
    await _write(database, held, **_free(), **later, reason=reason)


async def look_once_more(database: Database, held: Claim, attempts: int, seconds: float, reason: str) -> None:
    """One more attempt in `seconds`, past all limits, to see whether the note is there. Raises LeaseLost.

    It will be that after `attempts`, which tells it that it may only look.
    """
    deadline = func.greatest(Job.deadline_at, _from_now(seconds + LAST_LOOK_SECONDS))
    later = {"due_at": _from_now(seconds), "published_at": None, "deadline_at": deadline}
    await _write(database, held, **_free(), **later, attempt=attempts, reason=reason)


async def hold_back(
    database: Database, held: Claim, seconds: float, reason: str, *, extends_deadline: bool = True
) -> None:
    """Undo the claim until `seconds` from now, when the relay publishes the job. Raises LeaseLost.

    `extends_deadline`: by that time, though not beyond a day after the job's acceptance or its last retry by hand.
    """
    more = seconds if extends_deadline else 0
    began = func.coalesce(Job.retried_at, Job.accepted_at)
    later = func.least(Job.deadline_at + _interval(more), began + _interval(LONGEST_LIFE_SECONDS))
    await _write(
        database,
        held,
        **_free(),
        attempt=held.attempt - 1,
        reason=reason,
        due_at=_from_now(seconds),
        published_at=None,
        deadline_at=func.greatest(Job.deadline_at, later),
    )


async def give_back(database: Database, held: Claim) -> None:
    """Undo the claim of a worker that stops; its message goes back into the list right after. Raises LeaseLost."""
    await _write(
        database,
        held,
        **_free(),
        attempt=held.attempt - 1,
        due_at=func.clock_timestamp(),
        published_at=func.clock_timestamp(),
    )


def _free() -> dict[str, Any]:
    return {"state": JobState.WAITING, "lease_owner": None, "lease_until": None}


def _ended(state: JobState) -> dict[str, Any]:
    return {"state": state, "lease_owner": None, "lease_until": None, "finished_at": func.clock_timestamp()}
