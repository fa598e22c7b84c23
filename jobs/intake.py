"""Intake of events: a row in Postgres, then a message in Redis.

Without Postgres, Redis stores both. An event is refused only if neither store takes it. Rows and messages are written
in batches (`db.batching`), but each event has its own result.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, TypeVar
from uuid import UUID

from sqlalchemy.exc import DBAPIError
from uuid_utils.compat import uuid7

from db.batching import Batcher, BatchTimeoutError
from db.session import DATABASE_FAILURES, Database, is_away, is_locked
from jobs import missed_webhooks, repository
from jobs.inbox import Inbox
from jobs.missed_webhooks import NewTicket
from jobs.queue import JobQueue, QueueUnavailableError
from jobs.repository import RECOVERED, Event
from observability import log_events, metrics, tracing
from observability.identifiers import bind, bound, other_ticket_ids
from observability.logging import Outage, log_event

_DATABASE_SECONDS = 2.0
# Added to a batch's limit: a webhook may first have to wait for the batch in progress.
_PATIENCE_SECONDS = 0.25
_ACCEPT_SECONDS = 3.0
_MIN_UNPUBLISH_SECONDS = 0.25
_MAX_BATCH = 100
# In place of the webhook's span, for a job without one.
REFRESH_SPAN = "Refresh"
RECOVER_SPAN = "Recover"

Result = TypeVar("Result")
RecoveryReason = Literal["webhook missed", "webhook refused with 429", "polled"]


class NotAcceptedError(Exception):
    """Neither Postgres nor Redis accepted the event."""


# Strong references to cancelled tasks until they end: asyncio keeps only weak ones.
_late: set[asyncio.Task[Any]] = set()


async def within(seconds: float, work: Coroutine[Any, Any, Result]) -> Result:
    """Return the result of `work`, or raise TimeoutError after `seconds`."""
    task = asyncio.ensure_future(work)
    try:
        done, _ = await asyncio.wait({task}, timeout=seconds)
    except asyncio.CancelledError:
        task.cancel()
        raise
    if done:
        return task.result()
    # Not awaited: psycopg needs up to 10 s to cancel a statement if the server does not respond.
    _late.add(task)
    task.add_done_callback(_end_late)
    task.cancel()
    raise TimeoutError


def _end_late(task: asyncio.Task[Any]) -> None:
    _late.discard(task)
    if not task.cancelled():
        task.exception()  # retrieved, so that asyncio does not warn


class StoreBreaker:
    """Circuit breaker: a failure opens it for `rest_seconds`, then one call probes."""

    def __init__(self, rest_seconds: float = 5.0, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._rest = rest_seconds
        self._monotonic = monotonic
        self._next_try_at: float | None = None

    def allows_call(self) -> bool:
        """Return True if closed; if open, once every `rest_seconds` for a probe."""
        if self._next_try_at is None:
            return True
        is_probe = self._monotonic() >= self._next_try_at
        if is_probe:
            self.failed()
        return is_probe

    def failed(self) -> None:
        self._next_try_at = self._monotonic() + self._rest

    def worked(self) -> None:
        self._next_try_at = None


class Intake:
    """Accepts events; one per API process. `database_seconds` limits each batch."""

    def __init__(
        self,
        database: Database,
        queue: JobQueue,
        inbox: Inbox,
        job_deadline_seconds: int,
        *,
        database_seconds: float = _DATABASE_SECONDS,
    ) -> None:
        self._database = database
        self._queue = queue
        self._inbox = inbox
        self._deadline = job_deadline_seconds
        self._database_seconds = database_seconds
        self._rows = Batcher(self._record_batch, _MAX_BATCH, seconds=database_seconds + _PATIENCE_SECONDS)
        self.database_breaker = StoreBreaker()
        self.queue_breaker = StoreBreaker()
        self.database_outage = Outage(log_events.DATABASE_UNREACHABLE)
        self.queue_outage = Outage(log_events.REDIS_UNREACHABLE)

    async def accept(self, event: Event) -> UUID:
        """Store the event, queue its job, and return the job's id.

        For a duplicate, returns the first job's id. Takes up to about 3 s. Raises NotAcceptedError.
        """
        until = asyncio.get_running_loop().time() + _ACCEPT_SECONDS
        skipped_database = not self.database_breaker.allows_call()
        job_id = None if skipped_database else await self._record(event, until)
        if job_id is None:
            job_id = await self._keep_in_redis(event)
        if job_id is None and skipped_database:
            # Last resort: an open breaker must not refuse an event.
            job_id = await self._record(event, until)
        if job_id is None:
            raise NotAcceptedError
        return job_id

    async def _record(self, event: Event, until: float) -> UUID | None:
        try:
            job_id, published = await self._rows.put(event)
        except BatchTimeoutError:
            return None  # waited behind other events: no outage, and a late row has the inbox entry's job id
        except (*DATABASE_FAILURES, TimeoutError) as failure:
            if not is_locked(failure):
                self.database_breaker.failed()
            self.database_outage.seen("webhooks wait in Redis", failure)
            return None
        self.database_breaker.worked()
        self.database_outage.over()
        if job_id == event.job_id:
            bind(job_id=str(event.job_id))
            if published and not await self.publish(event.job_id, event.ticket_id, event.traceparent):
                left = max(_MIN_UNPUBLISH_SECONDS, until - asyncio.get_running_loop().time())
                # If this fails, the relay detects the missing message (`Relay._publish_lost`).
                with contextlib.suppress(*DATABASE_FAILURES, TimeoutError):
                    await within(left, repository.unpublish(self._database, [event.job_id]))
        return job_id

    async def _record_batch(self, events: list[Event]) -> list[tuple[UUID, bool] | Exception]:
        """Insert events, marked `published` unless Redis is down; return ids and mark."""
        published = self.queue_breaker.allows_call()
        with tracing.untraced():
            job_ids = await within(self._database_seconds, self._insert(events, published))
        return [each if isinstance(each, Exception) else (each, published) for each in job_ids]

    async def _insert(self, events: list[Event], published: bool) -> Sequence[UUID | Exception]:
        """Insert all rows at once, or one by one if one of them is refused."""
        try:
            return await self._insert_all(events, published)
        except DATABASE_FAILURES as failure:
            if is_away(failure) and not is_locked(failure):
                raise
            if len(events) == 1:
                return [failure]
        one_by_one = (self._insert([event], published) for event in events)
        results: list[Any] = await asyncio.gather(*one_by_one, return_exceptions=True)
        return [each if isinstance(each, Exception) else each[0] for each in results]

    async def _insert_all(self, events: list[Event], published: bool) -> list[UUID]:
        """Insert all rows; retry once over a new connection if the first was dead."""
        try:
            return await repository.accept_all(self._database, events, self._deadline, published=published)
        except DBAPIError as failure:
            if not failure.connection_invalidated:
                raise
        return await repository.accept_all(self._database, events, self._deadline, published=published)

    async def publish(
        self, job_id: UUID, ticket_id: str, traceparent: str, cause: Literal["webhook", "due", "lost"] = "webhook"
    ) -> bool:
        """Publish and log a job's message; return True if Redis took it."""
        try:
            await self._queue.publish(job_id, traceparent)
        except QueueUnavailableError as failure:
            self.queue_breaker.failed()
            self.queue_outage.seen("jobs wait in the database", failure)
            return False
        self.queue_breaker.worked()
        self.queue_outage.over()
        metrics.series(metrics.JOBS_QUEUED, cause).inc()
        log_event(log_events.JOB_QUEUED, job_id=str(job_id), ticket_id=ticket_id)
        return True

    async def _keep_in_redis(self, event: Event) -> UUID | None:
        """Store event and message; return the (first) job's id, or None on failure."""
        try:
            job_id = await self._inbox.put(event)
        except QueueUnavailableError as failure:
            self.queue_breaker.failed()
            self.queue_outage.seen("webhooks can't wait there", failure)
            return None
        if job_id == event.job_id:
            bind(job_id=str(event.job_id))
            log_event(log_events.INBOX_USED)
            await self.publish(event.job_id, event.ticket_id, event.traceparent)
        return job_id


async def request_refresh(
    database: Database, tenant_id: str, ticket_id: str, event: str, job_deadline_seconds: int
) -> UUID:
    """Create a job for a further enhancement, published by the relay; return its id.

    `event`: one of `jobs.repository.OWN_EVENTS`. Raises one of DATABASE_FAILURES.
    """
    with _own_event(REFRESH_SPAN, tenant_id, ticket_id, event) as created:
        await repository.accept_all(database, [created], job_deadline_seconds, published=False)
        log_event(log_events.REFRESH_ASKED, job_id=created.job_id, ticket_id=ticket_id, reason=event)
    return created.job_id


async def recover_job(
    database: Database, tenant_id: str, ticket: NewTicket, reason: RecoveryReason, job_deadline_seconds: int
) -> UUID | None:
    """Create a missed ticket's job, published by the relay; None if it has a job.

    Raises one of DATABASE_FAILURES.
    """
    others = other_ticket_ids(ticket.ticket_id, None, ticket.display_id)
    with _own_event(RECOVER_SPAN, tenant_id, ticket.ticket_id, RECOVERED, **others) as event:
        if not await missed_webhooks.recover(database, event, timedelta(seconds=job_deadline_seconds)):
            return None
        log_event(log_events.JOB_RECOVERED, job_id=event.job_id, ticket_id=ticket.ticket_id, reason=reason)
    return event.job_id


@contextlib.contextmanager
def _own_event(span: str, tenant_id: str, ticket_id: str, event: str, **others: str) -> Iterator[Event]:
    job_id = uuid7()
    ids = {"ticket_id": ticket_id, "tenant_id": tenant_id, "job_id": str(job_id)}
    with bound(**ids, **others), tracing.span(span, parent=tracing.own_trace()):
        yield Event(job_id, tenant_id, ticket_id, event, (), tracing.traceparent(), datetime.now(UTC))
