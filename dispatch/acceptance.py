"""Taking an event in: a row in Postgres, then its message in Redis; without Postgres, both in Redis.

Nothing is refused while one of the two takes it.
"""

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from sqlalchemy.exc import DBAPIError

from dispatch.budget import Budget
from dispatch.inbox import Inbox
from dispatch.queue import JobQueue, QueueUnreachable
from dispatch.store_breaker import StoreBreaker
from observability import metrics, phrases
from observability.identifiers import bind
from observability.logging import say
from observability.outage import Outage
from storage import jobs, relaying
from storage.jobs import Event
from storage.session import DATABASE_FAILURES, Database

_DATABASE_SECONDS = 2.0


class NotTaken(Exception):
    """Neither Postgres nor Redis could take the event just now."""


@dataclass(frozen=True, slots=True)
class Taken:
    """The job of a webhook; `duplicate` when an earlier delivery of it made the job."""

    job_id: UUID
    duplicate: bool


class Acceptance:
    """Where events go; one for the API process."""

    def __init__(self, database: Database, queue: JobQueue, inbox: Inbox, job_deadline_seconds: int) -> None:
        self._database = database
        self._queue = queue
        self._inbox = inbox
        self._deadline = job_deadline_seconds
        self._budget = Budget()
        self.database_breaker = StoreBreaker()
        self.queue_breaker = StoreBreaker()
        self.database_outage = Outage(phrases.DATABASE_UNREACHABLE)
        self.queue_outage = Outage(phrases.REDIS_UNREACHABLE)

    async def take(self, event: Event) -> Taken:
        """Record the event and queue its job. Raises NotTaken."""
        skipped_database = not self.database_breaker.lets_try()
        first_id = None if skipped_database else await self._record(event)
        if first_id is None:
            first_id = await self._keep_in_redis(event)
        if first_id is None and skipped_database:
            # The breaker saves time, it never refuses.
            first_id = await self._record(event)
        if first_id is None:
            raise NotTaken
        return Taken(first_id, duplicate=first_id != event.job_id)

    async def _record(self, event: Event) -> UUID | None:
        """Write the row, then publish its message. Return the job's id, or the first job's; None without Postgres."""
        publishes = self.queue_breaker.lets_try()
        try:
            first_id = await self._budget.within(_DATABASE_SECONDS, self._accept(event, publishes))
        except (*DATABASE_FAILURES, TimeoutError) as failure:
            self.database_breaker.failed()
            self.database_outage.seen("webhooks wait in Redis", failure)
            return None
        self.database_breaker.worked()
        self.database_outage.over()
        if first_id == event.job_id:
            bind(job_id=str(event.job_id))
            if publishes and not await self.publish(event.job_id, event.ticket_id):
                await self._leave_to_relay(event.job_id)
        return first_id

    async def _accept(self, event: Event, publishes: bool) -> UUID:
        """Record the event. A stale connection is tried again at once: the server was restarted, and is there."""
        try:
            return await jobs.accept(self._database, event, self._deadline, published=publishes)
        except DBAPIError as failure:
            if not failure.connection_invalidated:
                raise
        return await jobs.accept(self._database, event, self._deadline, published=publishes)

    async def publish(self, job_id: UUID, ticket_id: str, why: Literal["webhook", "due", "lost"] = "webhook") -> bool:
        """Publish a job's message and say so; return True if Redis took it. `why` is for the count."""
        try:
            await self._queue.publish(job_id)
        except QueueUnreachable as failure:
            self.queue_breaker.failed()
            self.queue_outage.seen("jobs wait in the database", failure)
            return False
        self.queue_breaker.worked()
        self.queue_outage.over()
        metrics.JOBS_QUEUED.labels(why).inc()
        say(phrases.JOB_QUEUED, job_id=job_id, ticket_id=ticket_id)
        return True

    async def _leave_to_relay(self, job_id: UUID) -> None:
        try:
            await self._budget.within(_DATABASE_SECONDS, relaying.unpublish(self._database, [job_id]))
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
            await self.publish(event.job_id, event.ticket_id)
        return first_id
