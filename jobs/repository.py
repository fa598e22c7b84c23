"""Acceptance, publication and recovery of jobs, each by one function of `functions.sql`."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import TextClause, text

from db.session import Database
from jobs.models import JobState

MOST_ATTEMPTS = 8
FINAL_CHECK_TIME = timedelta(minutes=5)  # of the attempt that only searches for the note
LONGEST_LIFE = timedelta(days=1)  # of a job with holds, from its acceptance or last manual retry
PUT_OFF_AHEAD = timedelta(minutes=5)  # before the deadline of a job that waits for its share; longer than an attempt
SEEN_OPEN_VALID = timedelta(hours=1)  # in which a deferred job does not read again whether its ticket is open
ANOTHER_FIRST_WAIT = timedelta(seconds=15)  # of a job for another one of its ticket
ECHO = timedelta(minutes=10)  # in which a failure note may cause a webhook of its ticket
REFRESH_APART = timedelta(hours=1)  # between further notes of a ticket
DELIVERY_KNOWN = timedelta(minutes=10)  # from the first delivery
KEYS_KEPT = timedelta(hours=1)  # after that, for events that waited in Redis
REJECTIONS_KEPT = timedelta(days=7)  # also of tickets without a webhook
MOST_RECOVERED_A_MINUTE = 60  # jobs for a tenant's missed webhooks
PUBLISHED_LATELY = timedelta(seconds=3)  # in which the message may be on its way
OVERDUE = timedelta(minutes=1)  # past its deadline, when a job should have an outcome
SIGNED_KEY = "signed:"  # prefix of the dedupe keys of signed bytes, which stay known whatever the job's outcome

DUPLICATE = "duplicate webhook"
ALREADY_ENHANCED = "already enhanced"
REFRESHED_LATELY = "refreshed within the hour"
LEFT_OUT = "left out by the tenant's rules"
NOTHING_FOUND = "nothing found"
DRY_RUN = "dry run"
OWN_FAILURE_NOTE = "own failure note"
ANOTHER_FIRST = "another job of this ticket"
NOTE_MISSING = "ServiceDesk Plus API: note did not arrive"
WORKER_LOST = "worker lost"
CONTEXT_INCOMPLETE = "context incomplete"
"""An event of an attempt; the next two are its reasons."""
CONTEXT_LATE = "context gathering timeout"
CONTEXT_FAILED = "context not searched"
RETRIED_BY_HAND = "retried by hand"
SIGNED_BY_PREVIOUS = "signed by the previous secret"  # remark in the job's first event
ASKED_BY_HAND = "(by hand) refresh"
SEEN_REOPENED = "(by its copy) reopened"
RECOVERED = "(by reconciliation) recovered"
OWN_EVENTS = frozenset({ASKED_BY_HAND, SEEN_REOPENED, RECOVERED})
"""Events of jobs without a webhook. Webhooks cannot name them: parentheses are not allowed in their events."""


@dataclass(frozen=True, slots=True)
class Event:
    """An accepted webhook and its job."""

    job_id: UUID
    tenant_id: str
    ticket_id: str
    event: str | None
    dedupe_keys: tuple[str, ...]  # a delivery with any known key is a duplicate
    traceparent: str
    accepted_at: datetime
    remark: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return JSON for the `inbox`, without the remark: the last release rejects it."""
        values = asdict(self) | {"job_id": str(self.job_id), "accepted_at": self.accepted_at.isoformat()}
        return {name: value for name, value in values.items() if name != "remark"}


@dataclass(frozen=True, slots=True)
class PublishedJob:
    """Values for publishing a job; never its content."""

    job_id: UUID
    tenant_id: str
    ticket_id: str
    attempt: int
    traceparent: str | None
    by_hand: bool = False  # its last event is a manual retry
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
) -> list[UUID]:
    """Record webhooks; return their job ids, of duplicates the first job's.

    `published`: the caller publishes the messages right after the commit; otherwise the relay does. A refused event
    fails the whole batch. Raises one of DATABASE_FAILURES.
    """
    first_ids: dict[UUID, UUID] = {}
    deadline = timedelta(seconds=deadline_seconds)
    for batch in _without_common_keys(events):
        given = json.dumps([_fields(event) | {"remark": event.remark} for event in batch])
        rows = await database.call(_ACCEPT, events=given, published=published, known=DELIVERY_KNOWN, deadline=deadline)
        first_ids |= {row["id"]: row["first_id"] for row in rows}
    return [first_ids.get(event.job_id, event.job_id) for event in events]


def _without_common_keys(events: Sequence[Event]) -> list[list[Event]]:
    batches: list[tuple[list[Event], set[tuple[str, str]]]] = []
    for event in events:
        keys = {(event.tenant_id, key) for key in event.dedupe_keys}
        # Behind the last batch with a common key, so that their order is kept.
        place = max((number for number, (_, seen) in enumerate(batches, 1) if seen & keys), default=0)
        if place == len(batches):
            batches.append(([], set()))
        batches[place][0].append(event)
        batches[place][1].update(keys)
    return [batch for batch, _ in batches]


def _fields(event: Event) -> dict[str, Any]:
    return {
        "id": str(event.job_id),
        "tenant": event.tenant_id,
        "ticket": event.ticket_id,
        "event": event.event,
        "traceparent": event.traceparent or None,
        "keys": sorted(set(event.dedupe_keys)),
    }


async def accept_late(database: Database, event: Event, deadline_seconds: int) -> bool:
    """Record a webhook from the inbox; return False for a duplicate.

    A duplicate was answered with its own id, so it gets a row too, and ends as skipped. The message was published with
    the inbox entry; if it is lost, the relay publishes another. Raises one of DATABASE_FAILURES, soon if the delivery
    is locked.
    """
    late = {"accepted_at": event.accepted_at, "duplicate": DUPLICATE, "known": DELIVERY_KNOWN}
    deadline = timedelta(seconds=deadline_seconds)
    return bool(
        await database.call_for_one(_ACCEPT_LATE, **{**_fields(event), "id": event.job_id}, **late, deadline=deadline)
    )


_IS_FULL = text(
    "SELECT is_queue_full(:tenant, :most) AND NOT EXISTS"
    " (SELECT FROM delivery_keys k WHERE k.key = ANY (CAST(:keys AS text[])) AND k.expires_at > now()"
    " AND (starts_with(k.key, 'signed:') OR NOT EXISTS"
    " (SELECT FROM jobs j WHERE j.id = k.job_id AND j.state IN ('skipped', 'failed')))) AS is_full"
)
_QUEUE_IS_FULL = text("SELECT is_queue_full(:tenant, :most)")


async def is_queue_full(database: Database, event: Event, most: int) -> bool:
    """Return True if the tenant has `most` waiting jobs and this delivery would add one."""
    keys = list(event.dedupe_keys)
    ((row,),) = await database.call_as(event.tenant_id, _IS_FULL, most=most, keys=keys)
    return bool(row["is_full"])


async def has_room(database: Database, tenant_id: str, most: int | None) -> bool:
    """Return True if fewer jobs of the tenant wait than allowed; None is unlimited."""
    return most is None or not await database.call_for_one(_QUEUE_IS_FULL, tenant=tenant_id, most=most)


async def state_of(database: Database, job_id: UUID) -> JobState | None:
    state = await database.call_for_one(_STATE, id=job_id)
    return None if state is None else JobState(state)


def _with_numbers(call: str) -> TextClause:
    numbers = "LEFT JOIN LATERAL numbers_of_job(j.tenant_id, j.id) n ON true"
    return text(f"SELECT j.*, n.* FROM {call} j {numbers}")  # noqa: S608 -- one of those below


_TAKE_DUE = _with_numbers("take_due_jobs(:most, :by_hand)")
_RECOVER = _with_numbers("recover_jobs(:most, :attempts, :reason)")
_FAIL_LOST = _with_numbers("fail_lost_jobs(:most, :attempts, :reason, :lost, :look)")
_EXPIRE = _with_numbers("expire_jobs(:most, :attempts, :reason, :look)")
_PUT_OFF = text("SELECT put_off_deadlines(CAST(:most AS jsonb), :ahead, :by, :longest, :rows)")
_TAKE_WITHOUT_MESSAGE = _with_numbers("take_jobs_without_message(:messages, :most, :lately, :by_hand)")
_COUNT = text("SELECT * FROM count_listed_jobs(:lately, :most)")
_UNPUBLISH = text("SELECT unpublish_jobs(:ids)")
_PURGE = text("SELECT purge_short_lived(:keys, :rejections)")


async def _published(database: Database, question: Any, **values: object) -> list[PublishedJob]:
    rows = await database.call(question, **values)
    return [PublishedJob(job_id=row["id"], **{name: row[name] for name in row if name != "id"}) for row in rows]


async def take_due(database: Database, most: int) -> list[PublishedJob]:
    return await _published(database, _TAKE_DUE, most=most, by_hand=RETRIED_BY_HAND)


async def recover(database: Database, most: int) -> list[PublishedJob]:
    return await _published(database, _RECOVER, most=most, attempts=MOST_ATTEMPTS, reason=WORKER_LOST)


async def fail_lost(database: Database, most: int, reason: str) -> list[PublishedJob]:
    """Fail and return the jobs lost in their last attempt; schedule a final check of those that may have a note."""
    values = {"attempts": MOST_ATTEMPTS, "reason": reason, "lost": WORKER_LOST, "look": FINAL_CHECK_TIME}
    return await _published(database, _FAIL_LOST, most=most, **values)


async def put_off_deadlines(database: Database, most: Mapping[str, int], deadline_seconds: int, rows: int) -> None:
    """Put off the deadlines of waiting jobs whose tenants are at their limit `most` of jobs in flight.

    Early enough that an attempt has some minutes left, or half of `deadline_seconds`.
    """
    by = timedelta(seconds=deadline_seconds)
    ahead = min(PUT_OFF_AHEAD, by / 2)
    await database.call(_PUT_OFF, most=json.dumps(dict(most)), ahead=ahead, by=by, longest=LONGEST_LIFE, rows=rows)


async def expire(database: Database, most: int, reason: str) -> list[PublishedJob]:
    """Fail and return the jobs past their deadline; schedule a final check of those that may have a note."""
    values = {"attempts": MOST_ATTEMPTS, "reason": reason, "look": FINAL_CHECK_TIME}
    return await _published(database, _EXPIRE, most=most, **values)


async def count_listed(database: Database, most: int) -> tuple[int, int]:
    """Return how many jobs should have a message, up to `most`, and how many run."""
    (row,) = await database.call(_COUNT, lately=PUBLISHED_LATELY, most=most)
    return row["waiting"], row["running"]


async def take_without_message(database: Database, messages: int, most: int) -> list[PublishedJob]:
    """Mark up to `most` jobs beyond the `messages` in the list as published again, oldest first; return them."""
    values = {"lately": PUBLISHED_LATELY, "by_hand": RETRIED_BY_HAND}
    return await _published(database, _TAKE_WITHOUT_MESSAGE, messages=messages, most=most, **values)


async def unpublish(database: Database, job_ids: Sequence[UUID]) -> None:
    """Mark jobs as unpublished, so that they are due again."""
    await database.call(_UNPUBLISH, ids=list(job_ids))


async def purge_short_lived(database: Database) -> None:
    """Delete expired delivery keys and console sessions, old rejections and old missed webhooks."""
    await database.call(_PURGE, keys=KEYS_KEPT, rejections=REJECTIONS_KEPT)
