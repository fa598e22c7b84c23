"""The Celery task: a message makes the worker claim the next due job.

The job is selected by fair share (`jobs.fair_claim`). The message's own job id matters only if no job is due: its event
may still be in the inbox.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from uuid import UUID

from celery.exceptions import Reject

from db.session import DATABASE_FAILURES, Database, is_away, is_locked
from jobs import repository
from jobs.inbox import Inbox
from jobs.models import JobState
from jobs.outcomes import Outcome, OutcomeKind, report_in_new_span
from jobs.queue import TASK, QueueUnavailableError
from observability import log_events, metrics, tracing
from observability.logging import Outage, log_event
from worker.app import app

_PAUSE_SECONDS = 5.0
_KEEP_SECONDS = 30.0
_FIRST_PAUSE, _MAX_PAUSE = 0.5, 5.0
_NOWHERE = "its row is nowhere"


class JobReleasedError(Exception):
    """The job was not finished by this worker: its message returns to the list."""


@app.task(name=TASK, acks_late=True, ignore_result=True)
def enhance(job_id: str) -> None:
    """Run the next job, or return the message to the list."""
    try:
        app.resources.run(UUID(job_id))
    except JobReleasedError:
        raise Reject("given back", requeue=True) from None
    except Exception as failure:  # noqa: BLE001 -- Celery would acknowledge the message and lose the job silently
        log_event(log_events.MESSAGE_FAILED, job_id=job_id, reason="unexpected failure", failure=failure)
        # Pause: a message that always fails must not be redelivered in a busy loop.
        time.sleep(_PAUSE_SECONDS)
        raise Reject("unexpected failure", requeue=True) from None


class MessageHandler:
    """Handles each message.

    `run_next` runs one attempt at the next job; it returns None if no job is due.
    """

    def __init__(
        self,
        run_next: Callable[[], Awaitable[Outcome | None]],
        database: Database,
        inbox: Inbox,
        job_deadline_seconds: int,
    ) -> None:
        self._run_next = run_next
        self._database = database
        self._inbox = inbox
        self._deadline = job_deadline_seconds
        self._database_outage = Outage(log_events.DATABASE_UNREACHABLE)

    async def handle(self, job_id: UUID) -> None:
        """Run the next job, with retries for 30 s while the database is unavailable.

        Raises NoStartableJobError, or JobReleasedError after the last retry.
        """
        give_up_at = time.monotonic() + _KEEP_SECONDS
        pause = _FIRST_PAUSE
        while True:
            try:
                await self._run_or_find(job_id)
            except DATABASE_FAILURES as failure:
                self._database_outage.seen(_reason(failure), failure)
            except QueueUnavailableError:
                pass  # the event may be in the inbox, which needs Redis: try again
            else:
                self._database_outage.over()
                return
            if time.monotonic() + pause > give_up_at:
                raise JobReleasedError
            await asyncio.sleep(pause)
            pause = min(pause * 2, _MAX_PAUSE)

    async def _run_or_find(self, job_id: UUID) -> None:
        if await self._run_next() is not None:
            return
        state = await repository.state_of(self._database, job_id) or await self._find(job_id)
        if state is JobState.WAITING:
            # Again: `_find` may have just created the row. No job is due after a duplicate or early message.
            await self._run_next()

    async def _find(self, job_id: UUID) -> JobState | None:
        event = await self._inbox.get(job_id)
        if event is not None:
            first = await repository.accept_late(self._database, event, self._deadline)
            # Relays move events too: the process that removes an event reports it.
            if await self._inbox.remove(job_id):
                metrics.INBOX_MOVED.inc()
                if not first:
                    report_in_new_span(tracing.WORKER, event, Outcome(OutcomeKind.DUPLICATE, repository.DUPLICATE))
        state = await repository.state_of(self._database, job_id)
        if state is None:
            metrics.MESSAGES_WITHOUT_ROW.inc()
            log_event(log_events.MESSAGE_FAILED, job_id=job_id, reason=_NOWHERE)
        return state


def _reason(failure: Exception) -> str:
    if is_locked(failure):
        return "a job's row is locked"
    return "unreachable" if is_away(failure) else "job can't be claimed"
