"""A job's row: accepted, and looked at. Each is one function of `functions.sql`."""

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Self
from uuid import UUID

from sqlalchemy import text

from storage.limits import DELIVERY_KNOWN
from storage.models import JobState
from storage.session import Database

DUPLICATE = "duplicate webhook"
ALREADY_ENHANCED = "already enhanced"
FORGOTTEN = "forgotten"
LEFT_OUT = "left out by the tenant's rules"
DRY_RUN = "dry run"
NAMED_FORGOTTEN = "its answer named what was forgotten"
OWN_FAILURE_NOTE = "own failure note"
ANOTHER_FIRST = "another job of this ticket"
NOTE_MISSING = "ServiceDesk Plus API: note did not arrive"
"""Why a job failed whose last look found no note in the ticket."""
WORKER_LOST = "worker lost"
RETRIED_BY_HAND = "retried by hand"


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
    """True if nothing has happened to it since a person had it retried."""
    desk_id: str | None = None
    display_id: str | None = None
    """The ticket's other number, as in the row."""


_OF_EVENT = ":tenant, :id, :ticket, :event, :traceparent, :keys"
_ACCEPT = text(f"SELECT accept_job({_OF_EVENT}, :published, :known, :deadline)")
_ACCEPT_LATE = text(f"SELECT accept_late_job({_OF_EVENT}, :accepted_at, :known, :deadline, :duplicate)")
_STATE = text("SELECT state FROM job_state(:id)")


async def accept(database: Database, event: Event, deadline_seconds: int, *, published: bool) -> UUID:
    """Record a webhook as a job and answer the job's id: another one than the event's for a duplicate.

    `published`: the caller publishes the job's message right after the commit; else the relay does.
    """
    given = _of_event(event, deadline_seconds)
    first_id: UUID = await database.call_for_one(_ACCEPT, **given, published=published)
    return first_id


async def accept_late(database: Database, event: Event, deadline_seconds: int) -> bool:
    """Record a webhook that waited in the inbox, and return True if no other delivery of it was recorded before.

    A duplicate was answered with an id of its own, so it gets a row too, and ends as skipped. The job's message was
    published when the event was put into the inbox; if it is lost, the relay publishes another. Raises one of
    DATABASE_FAILURES soon if somebody holds a lock on the delivery: others must not wait for this one.
    """
    given = _of_event(event, deadline_seconds)
    late = {"accepted_at": event.accepted_at, "duplicate": DUPLICATE}
    return bool(await database.call_for_one(_ACCEPT_LATE, **given, **late))


def _of_event(event: Event, deadline_seconds: int) -> dict[str, Any]:
    return {
        "tenant": event.tenant_id,
        "id": event.job_id,
        "ticket": event.ticket_id,
        "event": event.event,
        "traceparent": event.traceparent or None,
        "keys": list(event.dedupe_keys),
        "known": DELIVERY_KNOWN,
        "deadline": timedelta(seconds=deadline_seconds),
    }


async def state_of(database: Database, job_id: UUID) -> JobState | None:
    """Where the job stands; None when there is no row."""
    state = await database.call_for_one(_STATE, id=job_id)
    return None if state is None else JobState(state)
