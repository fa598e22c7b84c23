"""Acceptance of events: a row in Postgres, then a message in Redis.

Without Postgres, Redis stores both. An event is refused only if neither store takes it. Rows and messages are written
in batches (`dispatch.gathering`), but each event has its own result.
"""

import asyncio
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from sqlalchemy.exc import DBAPIError

from dispatch.budget import Budget
from dispatch.gathering import Gathering
from dispatch.inbox import Inbox
from dispatch.queue import JobQueue, QueueUnreachable
from dispatch.shared_timeout import SharedTimeout, WaitedTooLong
from dispatch.store_breaker import StoreBreaker
from observability import counting, metrics, phrases, tracing
from observability.identifiers import bind
from observability.logging import Outage, say
from storage import jobs, relaying
from storage.jobs import Event
from storage.session import DATABASE_FAILURES, Database, is_away, is_locked

_DATABASE_SECONDS = 2.0
# Longest wait of one webhook, counted from its arrival, so that a batch under way is included. Its own batch's failure,
# which shows that Postgres is away, comes after that.
_PATIENCE_SECONDS = 0.25
_WHOLE_SECONDS = 3.0
_LEAST_SECONDS = 0.25
_MOST_RECORDED = 100


class NotTaken(Exception):
    """Neither Postgres nor Redis could take the event just now."""


@dataclass(frozen=True, slots=True)
class Taken:
    """The job of a webhook; `duplicate` if an earlier delivery made it."""

    job_id: UUID
    duplicate: bool


@dataclass(frozen=True, slots=True)
class _Row:
    first_id: UUID
    published: bool


class Acceptance:
    """Acceptance of events, one per API process; `database_seconds` for each batch."""

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
        self._budget = Budget()
        timeout = SharedTimeout(database_seconds + _PATIENCE_SECONDS)
        self._rows = Gathering(self._record_all, _MOST_RECORDED, timeout=timeout)
        self.database_breaker = StoreBreaker()
        self.queue_breaker = StoreBreaker()
        self.database_outage = Outage(phrases.DATABASE_UNREACHABLE)
        self.queue_outage = Outage(phrases.REDIS_UNREACHABLE)

    async def take(self, event: Event) -> Taken:
        """Record the event and queue its job within about 3 s. Raises NotTaken."""
        until = asyncio.get_running_loop().time() + _WHOLE_SECONDS
        skipped_database = not self.database_breaker.lets_try()
        first_id = None if skipped_database else await self._record(event, until)
        if first_id is None:
            first_id = await self._keep_in_redis(event)
        if first_id is None and skipped_database:
            # The breaker saves time; it never refuses.
            first_id = await self._record(event, until)
        if first_id is None:
            raise NotTaken
        return Taken(first_id, duplicate=first_id != event.job_id)

    async def _record(self, event: Event, until: float) -> UUID | None:
        """Write the row and publish; return the (first) job's id, None without Postgres."""
        try:
            row = await self._rows.put(event)
        except WaitedTooLong:
            return None  # behind other events: no outage, and a late row does no harm
        except (*DATABASE_FAILURES, TimeoutError) as failure:
            if not is_locked(failure):
                self.database_breaker.failed()
            self.database_outage.seen("webhooks wait in Redis", failure)
            return None
        self.database_breaker.worked()
        self.database_outage.over()
        if row.first_id == event.job_id:
            bind(job_id=str(event.job_id))
            if row.published and not await self.publish(event.job_id, event.ticket_id, event.traceparent):
                await self._leave_to_relay(event.job_id, until)
        return row.first_id

    async def _record_all(self, events: list[Event]) -> list[_Row | Exception]:
        """Record events together, or one by one if one is refused.

        Raises TimeoutError, or one of DATABASE_FAILURES if Postgres is away.
        """
        publishes = self.queue_breaker.lets_try()

        async def record(some: list[Event]) -> list[_Row]:
            firsts = await self._accept(some, publishes)
            return [_Row(firsts[event.job_id], publishes) for event in some]

        async def alone(event: Event) -> _Row | Exception:
            try:
                return (await record([event]))[0]
            except DATABASE_FAILURES as failure:
                return failure

        async def all_of_them() -> list[_Row | Exception]:
            try:
                return [*await record(events)]
            except DATABASE_FAILURES as failure:
                if is_away(failure) and not is_locked(failure):
                    raise
                return [failure] if len(events) == 1 else await asyncio.gather(*map(alone, events))

        with tracing.untraced():
            return await self._budget.within(self._database_seconds, all_of_them())

    async def _accept(self, events: list[Event], publishes: bool) -> dict[UUID, UUID]:
        try:
            return await jobs.accept_all(self._database, events, self._deadline, published=publishes)
        except DBAPIError as failure:
            if not failure.connection_invalidated:
                raise
        return await jobs.accept_all(self._database, events, self._deadline, published=publishes)

    async def publish(
        self, job_id: UUID, ticket_id: str, traceparent: str, why: Literal["webhook", "due", "lost"] = "webhook"
    ) -> bool:
        """Publish and log a job's message; return True if Redis took it.

        `why` labels the count.
        """
        try:
            await self._queue.publish(job_id, traceparent)
        except QueueUnreachable as failure:
            self.queue_breaker.failed()
            self.queue_outage.seen("jobs wait in the database", failure)
            return False
        self.queue_breaker.worked()
        self.queue_outage.over()
        counting.series(metrics.JOBS_QUEUED, why).inc()
        say(phrases.JOB_QUEUED, job_id=str(job_id), ticket_id=ticket_id)
        return True

    async def _leave_to_relay(self, job_id: UUID, until: float) -> None:
        left = max(_LEAST_SECONDS, until - asyncio.get_running_loop().time())
        try:
            await self._budget.within(left, relaying.unpublish(self._database, [job_id]))
        except (*DATABASE_FAILURES, TimeoutError):
            return  # the relay notices that the list is too short

    async def _keep_in_redis(self, event: Event) -> UUID | None:
        """Store the event and its message; return the (first) job's id, or None."""
        try:
            first_id = await self._inbox.put(event)
        except QueueUnreachable as failure:
            self.queue_breaker.failed()
            self.queue_outage.seen("webhooks can't wait there", failure)
            return None
        if first_id == event.job_id:
            bind(job_id=str(event.job_id))
            say(phrases.INBOX_USED)
            await self.publish(event.job_id, event.ticket_id, event.traceparent)
        return first_id
