"""A job's row: accepted, and looked at. Each function is one short transaction."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Self
from uuid import UUID

from sqlalchemy import func, text
from sqlalchemy.dialects.postgresql import insert

from storage.deliveries import remember
from storage.models import Job, JobState
from storage.session import Database

DUPLICATE = "duplicate webhook"
ALREADY_ENHANCED = "already enhanced"
FORGOTTEN = "forgotten"
OWN_FAILURE_NOTE = "own failure note"
ANOTHER_FIRST = "another job of this ticket"
_SHORT_LOCKS = text("SET LOCAL lock_timeout = '100ms'")


@dataclass(frozen=True, slots=True)
class Event:
    """An accepted webhook, and the job that it asks for."""

    job_id: UUID
    tenant_id: str
    ticket_id: str
    event: str | None
    dedupe_keys: tuple[str, ...]
    """What makes another delivery the same one: any of these that is known (`storage.deliveries`)."""
    traceparent: str
    accepted_at: datetime

    def to_json(self) -> dict[str, Any]:
        """For the `inbox` in Redis."""
        values = asdict(self)
        values["job_id"] = str(self.job_id)
        values["accepted_at"] = self.accepted_at.isoformat()
        return values

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """The reverse of `to_json`. Raises KeyError, TypeError or ValueError on anything else."""
        return cls(
            **{
                **values,
                "job_id": UUID(values["job_id"]),
                "dedupe_keys": tuple(values["dedupe_keys"]),
                "accepted_at": datetime.fromisoformat(values["accepted_at"]),
            }
        )


@dataclass(frozen=True, slots=True)
class Published:
    """What publishing a job takes; never its content."""

    job_id: UUID
    tenant_id: str
    ticket_id: str
    attempt: int
    traceparent: str | None
    by_hand: bool = False
    """Whether nothing has happened to it since a person let it be tried again."""


async def accept(database: Database, event: Event, deadline_seconds: int, *, published: bool) -> UUID:
    """Record a webhook as a job and answer the job's id: another one than the event's for a duplicate.

    Both in one transaction, so that no delivery is remembered whose job does not exist. `published`: the caller pushes
    the job's message right after the commit; else the relay does.
    """
    async with database.tenant(event.tenant_id) as session:
        first_id = await remember(session, event.tenant_id, event.job_id, event.dedupe_keys, func.now())
        if first_id == event.job_id:
            row = _new_row(event, func.now(), deadline_seconds, published=published)
            await session.execute(insert(Job).values(**row).on_conflict_do_nothing())
        return first_id


async def accept_late(database: Database, event: Event, deadline_seconds: int) -> bool:
    """Record a webhook that waited in the inbox; False for a duplicate of a recorded one.

    That one was answered with an id of its own, so it gets a row too, and ends as skipped. Each had its message pushed
    and told of when it was put into the inbox: a message that is not there is lost, and the relay makes up for it.
    Raises one of DATABASE_FAILURES soon if somebody holds a lock on the delivery: others must not wait for this one.
    """
    async with database.tenant(event.tenant_id) as session:
        await session.execute(_SHORT_LOCKS)
        accepted_at = func.least(event.accepted_at, func.now())
        row = _new_row(event, accepted_at, deadline_seconds, published=True)
        first_id = await remember(session, event.tenant_id, event.job_id, event.dedupe_keys, accepted_at)
        first = first_id == event.job_id
        if not first:
            row |= {"state": JobState.SKIPPED, "reason": DUPLICATE, "finished_at": func.now()}
        await session.execute(insert(Job).values(**row).on_conflict_do_nothing())
        return first


def _new_row(event: Event, accepted_at: Any, deadline_seconds: int, *, published: bool) -> dict[str, Any]:
    """Times are the database's, since claims compare with its clock."""
    return {
        "id": event.job_id,
        "tenant_id": event.tenant_id,
        "ticket_id": event.ticket_id,
        "event": event.event,
        "state": JobState.WAITING,
        "attempt": 0,
        "traceparent": event.traceparent or None,
        "accepted_at": accepted_at,
        "due_at": accepted_at,
        "deadline_at": accepted_at + func.make_interval(0, 0, 0, 0, 0, 0, deadline_seconds),
        "published_at": func.now() if published else None,
    }


async def state_of(database: Database, job_id: UUID) -> JobState | None:
    """Where the job stands; None when there is no row."""
    async with database.across_tenants() as session:
        state = await session.scalar(text("SELECT state FROM job_state(:id)"), {"id": job_id})
    return None if state is None else JobState(state)
