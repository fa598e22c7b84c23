"""Acceptance, publication and recovery of jobs, by functions of `functions.sql`."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import TextClause, text

from db.session import Database
from jobs.models import JobState

MAX_ATTEMPTS = 8
FINAL_CHECK_TIME = timedelta(minutes=5)  # time limit of the attempt that only searches for the note
MAX_LIFE = timedelta(days=1)  # maximum age of a job with holds, since its acceptance or last manual retry
PUT_OFF_AHEAD = timedelta(minutes=5)  # deadlines at a tenant's limit are extended this early; longer than an attempt
SEEN_OPEN_VALID = timedelta(hours=1)  # a deferred job trusts its check of the open ticket for this time
ANOTHER_FIRST_WAIT = timedelta(seconds=15)  # retry delay while another job of the same ticket must end first
ECHO = timedelta(minutes=10)  # within this time, our failure note may be the cause of a webhook of its ticket
REFRESH_APART = timedelta(hours=1)  # minimum time between further notes of a ticket
DELIVERY_KNOWN = timedelta(minutes=10)  # a delivery repeated within this time after the first one is a duplicate
KEYS_KEPT = timedelta(hours=1)  # retention of expired dedupe keys, for events that waited in Redis
REJECTIONS_KEPT = timedelta(days=7)  # retention of rejections, and of tickets without a webhook
MAX_RECOVERED_PER_MINUTE = 60  # jobs for a tenant's missed webhooks
MAX_TENANTS = 2_000  # in one list of tenants with refused or missed webhooks
PUBLISHED_LATELY = timedelta(seconds=3)  # within this time after publication, the message may not be in the list yet
OVERDUE = timedelta(minutes=1)  # a job still without an outcome is reported this long after its deadline
SIGNED_KEY = "signed:"  # prefix of dedupe keys of signed bytes, which stay valid if their job is skipped or fails

DUPLICATE = "duplicate webhook"
ALREADY_ENHANCED = "already enhanced"
REFRESHED_LATELY = "refreshed within the hour"
LEFT_OUT = "left out by the tenant's rules"
NOTHING_FOUND = "nothing found"
DRY_RUN = "dry run"
HELD_OUT = "held out for comparison"
OWN_FAILURE_NOTE = "own failure note"
ANOTHER_FIRST = "another job of this ticket"
NOTE_MISSING = "ServiceDesk Plus API: note did not arrive"
WORKER_LOST = "worker lost"
LAST_WORKER_LOST = "worker lost at its last attempt"
DEADLINE_PASSED = "deadline passed"
CONTEXT_INCOMPLETE = "context incomplete"  # an event of an attempt; the next two are its reasons
CONTEXT_LATE = "context gathering timeout"
CONTEXT_FAILED = "context not searched"
RETRIED_BY_HAND = "retried by hand"
SIGNED_BY_PREVIOUS = "signed by the previous secret"  # remark in the job's first event
REFRESH_BY_HAND = "(by hand) refresh"
SEEN_REOPENED = "(by its copy) reopened"
RECOVERED = "(by reconciliation) recovered"
# Events of jobs without a webhook. Webhooks cannot name them: parentheses are not allowed in their events.
OWN_EVENTS = frozenset({REFRESH_BY_HAND, SEEN_REOPENED, RECOVERED})


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
class JobIdentity:
    """Identifiers of a job for its message and its reports; never its content."""

    job_id: UUID
    tenant_id: str
    ticket_id: str
    attempt: int
    traceparent: str | None
    by_hand: bool = False  # its last event is a manual retry
    desk_id: str | None = None
    display_id: str | None = None


# Returns duplicates only: creating two UUIDs for each row would take 1 % of a webhook's time.
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
    """Record webhooks; return their job ids (for a duplicate, the first job's).

    `published`: mark the jobs as published, because the caller sends their messages after the commit. Otherwise the
    relay sends them. Raises one of DATABASE_FAILURES.
    """
    first_ids: dict[UUID, UUID] = {}
    deadline = timedelta(seconds=deadline_seconds)
    for batch in _batches_without_duplicates(events):
        rows = json.dumps([_fields(event) | {"remark": event.remark} for event in batch])
        values = {"events": rows, "published": published, "known": DELIVERY_KNOWN, "deadline": deadline}
        first_ids |= {row["id"]: row["first_id"] for row in await database.call(_ACCEPT, **values)}
    return [first_ids.get(event.job_id, event.job_id) for event in events]


def _batches_without_duplicates(events: Sequence[Event]) -> list[list[Event]]:
    batches: list[tuple[list[Event], set[tuple[str, str]]]] = []
    for event in events:
        keys = {(event.tenant_id, key) for key in event.dedupe_keys}
        # After the last batch with a common key: duplicates must be recorded in their order.
        index = max((number for number, (_, seen) in enumerate(batches, 1) if seen & keys), default=0)
        if index == len(batches):
            batches.append(([], set()))
        batches[index][0].append(event)
        batches[index][1].update(keys)
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

    A duplicate gets a row too, `skipped`: its sender got a job id of its own. The message was published with the inbox
    entry. Raises one of DATABASE_FAILURES; a locked delivery key is awaited for 100 ms at most.
    """
    values = _fields(event) | {"id": event.job_id, "accepted_at": event.accepted_at, "duplicate": DUPLICATE}
    limits = {"known": DELIVERY_KNOWN, "deadline": timedelta(seconds=deadline_seconds)}
    return bool(await database.call_for_one(_ACCEPT_LATE, **values, **limits))


_IS_FULL = text(
    "SELECT is_queue_full(:tenant, :most) AND NOT EXISTS"
    " (SELECT FROM delivery_keys k WHERE k.key = ANY (CAST(:keys AS text[])) AND k.expires_at > now()"
    " AND (starts_with(k.key, 'signed:') OR NOT EXISTS"
    " (SELECT FROM jobs j WHERE j.id = k.job_id AND j.state IN ('skipped', 'failed')))) AS is_full"
)
_QUEUE_IS_FULL = text("SELECT is_queue_full(:tenant, :most)")


async def is_queue_full(database: Database, event: Event, most: int) -> bool:
    """Return True if the tenant has `most` waiting jobs and `event` is no duplicate."""
    keys = list(event.dedupe_keys)
    ((row,),) = await database.call_as(event.tenant_id, _IS_FULL, most=most, keys=keys)
    return bool(row["is_full"])


async def has_room(database: Database, tenant_id: str, most: int | None) -> bool:
    """Return True if the tenant has fewer than `most` waiting jobs (None: no limit)."""
    return most is None or not await database.call_for_one(_QUEUE_IS_FULL, tenant=tenant_id, most=most)


async def state_of(database: Database, job_id: UUID) -> JobState | None:
    """Return the job's state; None if it has no row."""
    state = await database.call_for_one(_STATE, id=job_id)
    return None if state is None else JobState(state)


def _with_numbers(call: str) -> TextClause:
    numbers = "LEFT JOIN LATERAL numbers_of_job(j.tenant_id, j.id) n ON true"
    return text(f"SELECT j.*, n.* FROM {call} j {numbers}")  # noqa: S608 -- one of those below


_TAKE_DUE = _with_numbers("take_due_jobs(:most, :by_hand)")
_RECOVER = _with_numbers("recover_jobs(:most, :attempts, :reason)")
_FAIL_LOST = _with_numbers("fail_lost_jobs(:most, :attempts, :reason, :lost, :time_limit)")
_EXPIRE = _with_numbers("expire_jobs(:most, :attempts, :reason, :time_limit)")
_PUT_OFF = text("SELECT put_off_deadlines(CAST(:most AS jsonb), :ahead, :by, :longest, :rows)")
_TAKE_WITHOUT_MESSAGE = _with_numbers("take_jobs_without_message(:messages, :most, :lately, :by_hand)")
_COUNT = text("SELECT * FROM count_listed_jobs(:lately, :most)")
_UNPUBLISH = text("SELECT unpublish_jobs(:ids)")
_PURGE = text("SELECT purge_short_lived(:keys, :rejections)")


async def _jobs_from(database: Database, statement: TextClause, **values: object) -> list[JobIdentity]:
    rows = await database.call(statement, **values)
    return [JobIdentity(job_id=row["id"], **{name: row[name] for name in row if name != "id"}) for row in rows]


async def take_due(database: Database, most: int) -> list[JobIdentity]:
    """Mark up to `most` due jobs as published and return them."""
    return await _jobs_from(database, _TAKE_DUE, most=most, by_hand=RETRIED_BY_HAND)


async def recover(database: Database, most: int) -> list[JobIdentity]:
    """Requeue up to `most` jobs with expired leases and attempts left."""
    return await _jobs_from(database, _RECOVER, most=most, attempts=MAX_ATTEMPTS, reason=WORKER_LOST)


async def fail_lost(database: Database, most: int, reason: str) -> list[JobIdentity]:
    """Fail and return jobs lost at their last attempt; final checks as in `expire`."""
    values = {"attempts": MAX_ATTEMPTS, "reason": reason, "lost": WORKER_LOST, "time_limit": FINAL_CHECK_TIME}
    return await _jobs_from(database, _FAIL_LOST, most=most, **values)


async def put_off_deadlines(database: Database, most: Mapping[str, int], deadline_seconds: int, rows: int) -> None:
    """Extend deadlines of jobs waiting because their tenant is at its limit, `most`."""
    by = timedelta(seconds=deadline_seconds)
    # Early enough that an attempt still fits.
    ahead = min(PUT_OFF_AHEAD, by / 2)
    await database.call(_PUT_OFF, most=json.dumps(dict(most)), ahead=ahead, by=by, longest=MAX_LIFE, rows=rows)


async def expire(database: Database, most: int, reason: str) -> list[JobIdentity]:
    """Fail and return overdue jobs; those that may have a note get a final check."""
    values = {"attempts": MAX_ATTEMPTS, "reason": reason, "time_limit": FINAL_CHECK_TIME}
    return await _jobs_from(database, _EXPIRE, most=most, **values)


async def count_published_and_running(database: Database, most: int) -> tuple[int, int]:
    """Return how many jobs should have a message (up to `most`), and how many run."""
    (row,) = await database.call(_COUNT, lately=PUBLISHED_LATELY, most=most)
    return row["waiting"], row["running"]


async def take_without_message(database: Database, messages: int, most: int) -> list[JobIdentity]:
    """Mark up to `most` jobs with lost messages as published and return them.

    Oldest first. Jobs that should have a message, minus the `messages` that exist, are the lost ones.
    """
    values = {"lately": PUBLISHED_LATELY, "by_hand": RETRIED_BY_HAND}
    return await _jobs_from(database, _TAKE_WITHOUT_MESSAGE, messages=messages, most=most, **values)


async def unpublish(database: Database, job_ids: Sequence[UUID]) -> None:
    """Mark jobs as unpublished, so that they are due again."""
    await database.call(_UNPUBLISH, ids=list(job_ids))


async def purge_short_lived(database: Database) -> None:
    """Delete old delivery keys, console sessions, rejections and missed webhooks."""
    await database.call(_PURGE, keys=KEYS_KEPT, rejections=REJECTIONS_KEPT)
