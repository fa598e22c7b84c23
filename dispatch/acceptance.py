"""Taking an event in: a row in Postgres, then its message in Redis; without Postgres, both in Redis.

Nothing is refused while one of the two takes it. Rows are made together for all that came while the last ones were on
their way, and so are messages (`dispatch.gathering`); what becomes of an event is its own all the same.
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
from observability.logging import say
from observability.outage import Outage
from storage import jobs, relaying
from storage.jobs import Event
from storage.session import DATABASE_FAILURES, Database, is_away, is_locked

_DATABASE_SECONDS = 2.0
# What one webhook waits for longer than that, from when it came, so that a batch that was under way counts: the failure
# of its own batch is heard of then, which tells that Postgres is away.
_PATIENCE_SECONDS = 0.25
_WHOLE_SECONDS = 3.0
_LEAST_SECONDS = 0.25
_MOST_RECORDED = 100


class NotTaken(Exception):
    """Neither Postgres nor Redis could take the event just now."""


@dataclass(frozen=True, slots=True)
class Taken:
    """The job of a webhook; `duplicate` when an earlier delivery of it made the job."""

    job_id: UUID
    duplicate: bool


@dataclass(frozen=True, slots=True)
class _Row:
    """What was recorded of an event; `published`: its message is to be pushed now."""

    first_id: UUID
    published: bool


class Acceptance:
    """Where events go; one for the API process. `database_seconds`: how long Postgres may take for a batch."""

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
        """Record the event and queue its job, within about 3 s whatever hangs. Raises NotTaken."""
        until = asyncio.get_running_loop().time() + _WHOLE_SECONDS
        skipped_database = not self.database_breaker.lets_try()
        first_id = None if skipped_database else await self._record(event, until)
        if first_id is None:
            first_id = await self._keep_in_redis(event)
        if first_id is None and skipped_database:
            # The breaker saves time, it never refuses.
            first_id = await self._record(event, until)
        if first_id is None:
            raise NotTaken
        return Taken(first_id, duplicate=first_id != event.job_id)

    async def _record(self, event: Event, until: float) -> UUID | None:
        """Write the row, then publish its message. Return the job's id, or the first job's; None without Postgres."""
        try:
            row = await self._rows.put(event)
        except WaitedTooLong:
            return None  # others were before it: no outage, and its row may come yet, which does no harm
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
        """Record events together; one by one if one of them is refused, so that it costs no other one its row.

        Raises TimeoutError, or one of DATABASE_FAILURES if it is Postgres that is away.
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
        """Record events. A stale connection is tried again at once: the server was restarted, and is there."""
        try:
            return await jobs.accept_all(self._database, events, self._deadline, published=publishes)
        except DBAPIError as failure:
            if not failure.connection_invalidated:
                raise
        return await jobs.accept_all(self._database, events, self._deadline, published=publishes)

    async def publish(
        self, job_id: UUID, ticket_id: str, traceparent: str, why: Literal["webhook", "due", "lost"] = "webhook"
    ) -> bool:
        """Publish a job's message and say so; return True if Redis took it. `why` is for the count."""
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
            return  # the relay sees that the list is shorter than it should be

    async def _keep_in_redis(self, event: Event) -> UUID | None:
        """Put the event and its message into Redis. Return the job's id, or the first job's; None without Redis."""
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
