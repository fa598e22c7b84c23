"""Acceptance and state of jobs; each is one function of `functions.sql`."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text

from storage.limits import DELIVERY_KNOWN
from storage.models import JobState
from storage.session import Database


def signed_key(digest: str) -> str:
    """Return the key of the signed bytes: it stays known whatever became of the job."""
    return f"signed:{digest}"


def is_signed_key(key: str) -> bool:
    return key.startswith("signed:")


DUPLICATE = "duplicate webhook"
ALREADY_ENHANCED = "already enhanced"
REFRESHED_LATELY = "refreshed within the hour"
FORGOTTEN = "forgotten"
LEFT_OUT = "left out by the tenant's rules"
NOTHING_FOUND = "nothing found"
DRY_RUN = "dry run"
NAMED_FORGOTTEN = "its answer named what was forgotten"
OWN_FAILURE_NOTE = "own failure note"
ANOTHER_FIRST = "another job of this ticket"
NOTE_MISSING = "ServiceDesk Plus API: note did not arrive"
"""Why a job failed whose last look found no note in the ticket."""
WORKER_LOST = "worker lost"
CONTEXT_INCOMPLETE = "context incomplete"
"""An event of an attempt that went on without all that could have helped; the next two are its reasons."""
CONTEXT_LATE = "context gathering timeout"
CONTEXT_FAILED = "context not searched"
RETRIED_BY_HAND = "retried by hand"
SIGNED_BY_PREVIOUS = "signed by the previous secret"
"""What the first event of a job says of its webhook, where that is so."""
ASKED_BY_HAND = "(by hand) refresh"
SEEN_REOPENED = "(by its copy) reopened"
RECOVERED = "(by reconciliation) recovered"
"""The last three are events of jobs without a webhook, which none may name; their last word is read as any event's."""
OWN_EVENTS = frozenset({ASKED_BY_HAND, SEEN_REOPENED, RECOVERED})


@dataclass(frozen=True, slots=True)
class Event:
    """An accepted webhook and its job."""

    job_id: UUID
    tenant_id: str
    ticket_id: str
    event: str | None
    dedupe_keys: tuple[str, ...]
    """What makes another delivery the same one: any of these that is known (`signed_key`)."""
    traceparent: str
    accepted_at: datetime
    remark: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return JSON for the `inbox`, without the remark: the last release rejects it."""
        values = asdict(self)
        del values["remark"]
        values["job_id"] = str(self.job_id)
        values["accepted_at"] = self.accepted_at.isoformat()
        return values


@dataclass(frozen=True, slots=True)
class Published:
    """Values for publishing a job; never its content."""

    job_id: UUID
    tenant_id: str
    ticket_id: str
    attempt: int
    traceparent: str | None
    by_hand: bool = False
    """True if nothing has happened to it since a person had it retried."""
    desk_id: str | None = None
    display_id: str | None = None


# Duplicates only: creating two UUIDs for each row would take 1 % of a webhook.
_ACCEPT = text(
    "SELECT id, first_id FROM accept_jobs(CAST(:events AS jsonb), :published, :known, :deadline) WHERE first_id <> id"
)
_ACCEPT_LATE = text(
    "SELECT accept_late_job(:tenant, :id, :ticket, :event, :traceparent, :keys,"
    " :accepted_at, :known, :deadline, :duplicate)"
)
_STATE = text("SELECT state FROM job_state(:id)")


async def accept_all(
    database: Database, events: Sequence[Event], deadline_seconds: int, *, published: bool
) -> dict[UUID, UUID]:
    """Record webhooks; return each one's job id, the first one's for duplicates.

    `published`: the caller publishes the messages right after the commit; otherwise the relay does. One refused by
    Postgres fails the whole batch. Raises one of DATABASE_FAILURES.
    """
    firsts = {event.job_id: event.job_id for event in events}
    deadline = timedelta(seconds=deadline_seconds)
    for apart in _without_a_common_key(events):
        given = json.dumps([_given(event) | {"remark": event.remark} for event in apart])
        rows = await database.call(_ACCEPT, events=given, published=published, known=DELIVERY_KNOWN, deadline=deadline)
        firsts |= {row["id"]: row["first_id"] for row in rows}
    return firsts


def _without_a_common_key(events: Sequence[Event]) -> list[list[Event]]:
    parts: list[tuple[list[Event], set[tuple[str, str]]]] = []
    for event in events:
        keys = {(event.tenant_id, key) for key in event.dedupe_keys}
        # After the last part with a common key, to preserve their order.
        place = max((number for number, (_, seen) in enumerate(parts, 1) if seen & keys), default=0)
        if place == len(parts):
            parts.append(([], set()))
        parts[place][0].append(event)
        parts[place][1].update(keys)
    return [part for part, _ in parts]


def _given(event: Event) -> dict[str, Any]:
    return {
        "id": str(event.job_id),
        "tenant": event.tenant_id,
        "ticket": event.ticket_id,
        "event": event.event,
        "traceparent": event.traceparent or None,
        "keys": sorted(set(event.dedupe_keys)),
    }


async def accept_late(database: Database, event: Event, deadline_seconds: int) -> bool:
    """Record a webhook from the inbox; return False for a recorded duplicate.

    A duplicate was answered with its own id, so it gets a row too, and ends as skipped. Its message was published with
    the inbox entry; if that is lost, the relay publishes another. Raises one of DATABASE_FAILURES soon if the delivery
    is locked, so that others do not wait.
    """
    late = {"accepted_at": event.accepted_at, "duplicate": DUPLICATE, "known": DELIVERY_KNOWN}
    deadline = timedelta(seconds=deadline_seconds)
    return bool(
        await database.call_for_one(_ACCEPT_LATE, **{**_given(event), "id": event.job_id}, **late, deadline=deadline)
    )


async def state_of(database: Database, job_id: UUID) -> JobState | None:
    state = await database.call_for_one(_STATE, id=job_id)
    return None if state is None else JobState(state)
