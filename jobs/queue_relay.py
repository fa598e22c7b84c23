"""The relay: publishes due jobs and lost messages, ends lost and overdue jobs.

Every API process runs one; they share the work through SKIP LOCKED. Each step has its own limit of a few seconds, so
that a lock held by a dead process delays only its row.
"""

import asyncio
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Literal

from db.session import DATABASE_FAILURES, Database, is_away, is_locked, is_refused
from jobs import repository
from jobs.claims import LeaseLostError
from jobs.inbox import Inbox
from jobs.intake import Intake
from jobs.outcomes import Outcome, OutcomeKind, report_in_new_span, span_of_job
from jobs.queue import JobQueue, QueueUnavailableError
from jobs.repository import DEADLINE_PASSED, LAST_WORKER_LOST, RETRIED_BY_HAND, JobIdentity
from observability import log_events, metrics, tracing
from observability.identifiers import other_ticket_ids
from observability.logging import log_event

_PAUSE_SECONDS = 1.0
# A second less than the `lock_timeout` of the connections.
_STEP_SECONDS = 4.0
_LAST_ROUND_SECONDS = 3.0
_LOST_CHECK_SECONDS = 5.0
_PURGE_SECONDS = 60.0
_BATCH = 100
# Overdue jobs and lost messages: numerous only after a failure.
_LARGE_BATCH = 500
# With so many messages all workers are busy; a check would count up to a million jobs every few seconds.
_LONG_LIST = 10_000
# A live worker claims a message's job, or gives the message back, within half a minute.
_SURE_SECONDS = 40.0
_SPAN = "Relay"


class LostMessageDetector:
    """Detects lost messages: held by no worker, or missing at every check for 40 s."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._seen: deque[tuple[float, int]] = deque()

    def lost(self, missing: int, *, unclaimed: int) -> int:
        """Return how many missing messages are lost; workers may hold `unclaimed`."""
        now = self._monotonic()
        if missing <= 0:
            self._seen.clear()
            return 0
        self._seen.append((now, missing))
        lasted = now - self._seen[0][0] >= _SURE_SECONDS
        while now - self._seen[0][0] > _SURE_SECONDS:
            self._seen.popleft()
        least_missing = min(seen for _, seen in self._seen) if lasted else 0
        found = max(missing - unclaimed, least_missing)
        if found > 0:
            self._seen.clear()
        return max(found, 0)


class Relay:
    """The relay's loop; `most_running`: limits of jobs in flight, by tenant."""

    def __init__(
        self,
        database: Database,
        queue: JobQueue,
        inbox: Inbox,
        intake: Intake,
        job_deadline_seconds: int,
        *,
        most_running: Callable[[], Mapping[str, int]] = dict,
        step_seconds: float = _STEP_SECONDS,
    ) -> None:
        self._database = database
        self._queue = queue
        self._inbox = inbox
        self._intake = intake
        self._deadline = job_deadline_seconds
        self._most_running = most_running
        self._step_seconds = step_seconds
        self._lost_checked_at = self._purged_at = 0.0
        self._shortage = LostMessageDetector()
        self._under_way: dict[str, asyncio.Future[None]] = {}

    async def run(self) -> None:
        """Run a round each second until cancelled."""
        while True:
            under_way = asyncio.ensure_future(self.once())
            try:
                await asyncio.shield(under_way)
            except asyncio.CancelledError:
                # It may have ended jobs without reporting them yet.
                await asyncio.wait({under_way}, timeout=_LAST_ROUND_SECONDS)
                under_way.cancel()
                for step in self._under_way.values():
                    step.cancel()
                raise
            await asyncio.sleep(_PAUSE_SECONDS)

    async def once(self) -> bool:
        """Run each step once; return True if all succeeded."""
        worked = True
        for step in (
            self._end_overdue,
            self._recover,
            self._fail_lost,
            self._empty_inbox,
            self._publish_due,
            self._publish_lost,
            self._purge,
        ):
            try:
                with tracing.untraced():
                    await self._within_its_time(step)
            except (*DATABASE_FAILURES, TimeoutError) as failure:
                worked = False
                self._intake.database_outage.seen(_reason(failure), failure)
                if is_away(failure) and not is_locked(failure):
                    break  # unavailable; a locked row or a late step does not end the round
            except QueueUnavailableError as failure:
                worked = False
                self._intake.queue_outage.seen("the relay waits", failure)
            except Exception as failure:  # noqa: BLE001 -- without a relay, jobs would wait for ever
                worked = False
                log_event(log_events.RELAY_FAILED, failure=failure)
        if worked:
            self._intake.database_outage.over()
            metrics.RELAYED_AT.set_to_current_time()
        return worked

    async def _within_its_time(self, step: Callable[[], Awaitable[None]]) -> None:
        """Run a step, or await its late run of an earlier round, which may report jobs."""
        name = step.__name__
        if name not in self._under_way:
            self._under_way[name] = asyncio.ensure_future(step())
        under_way = self._under_way[name]
        done, _ = await asyncio.wait({under_way}, timeout=self._step_seconds)
        if not done:
            raise TimeoutError
        del self._under_way[name]
        under_way.result()

    async def _recover(self) -> None:
        for job in await repository.recover(self._database, _BATCH):
            _report(job, Outcome(OutcomeKind.RECOVERED, repository.WORKER_LOST))

    async def _fail_lost(self) -> None:
        for job in await repository.fail_lost(self._database, _BATCH, LAST_WORKER_LOST):
            _report(job, Outcome(OutcomeKind.WORKER_LOST, LAST_WORKER_LOST, failure=LeaseLostError()))

    async def _publish_due(self) -> None:
        await self._publish(await repository.take_due(self._database, _BATCH), "due")

    async def _purge(self) -> None:
        if time.monotonic() - self._purged_at >= _PURGE_SECONDS:
            self._purged_at = time.monotonic()
            await repository.purge_short_lived(self._database)

    async def _end_overdue(self) -> None:
        if most := self._most_running():
            await repository.put_off_deadlines(self._database, most, self._deadline, _LARGE_BATCH)
        for job in await repository.expire(self._database, _LARGE_BATCH, DEADLINE_PASSED):
            _report(job, Outcome(OutcomeKind.EXPIRED, DEADLINE_PASSED, failure=TimeoutError()))

    async def _empty_inbox(self) -> None:
        """Move events into rows; the process that removes an event reports it."""
        moved = 0
        events = await self._inbox.some(_BATCH)
        # In random order, so that no stuck event blocks others for ever.
        random.shuffle(events)
        for event in events:
            try:
                first = await repository.accept_late(self._database, event, self._deadline)
            except DATABASE_FAILURES as failure:
                if is_refused(failure):
                    await self._inbox.discard([str(event.job_id)])
                elif not is_locked(failure):
                    raise
                continue  # refused, or locked by another process that records the delivery
            if not await self._inbox.remove(event.job_id):
                continue
            moved += 1
            metrics.INBOX_MOVED.inc()
            if not first:
                report_in_new_span(_SPAN, event, Outcome(OutcomeKind.DUPLICATE, repository.DUPLICATE), attempt="0")
        if moved:
            log_event(log_events.INBOX_EMPTIED, count=moved)

    async def _publish_lost(self) -> None:
        if time.monotonic() - self._lost_checked_at < _LOST_CHECK_SECONDS:
            return
        self._lost_checked_at = time.monotonic()
        # Read before the rows are counted: a job claimed in between must not look like a lost message.
        listed, held = await self._queue.sizes()
        if listed >= _LONG_LIST:
            return
        waiting, running = await repository.count_published_and_running(self._database, listed + held + _LARGE_BATCH)
        lost = min(self._shortage.lost(waiting - listed, unclaimed=max(0, held - running)), _LARGE_BATCH)
        if lost > 0:
            await self._publish(await repository.take_without_message(self._database, waiting - lost, lost), "lost")
        if lost == _LARGE_BATCH:
            self._lost_checked_at = 0.0  # more are left for the next round

    async def _publish(self, due: Sequence[JobIdentity], cause: Literal["due", "lost"]) -> None:
        published = await asyncio.gather(*(self._publish_one(job, cause) for job in due))
        if failed := [job.job_id for job, done in zip(due, published, strict=True) if not done]:
            await repository.unpublish(self._database, failed)

    async def _publish_one(self, job: JobIdentity, cause: Literal["due", "lost"]) -> bool:
        with span_of_job(_SPAN, job, **_identifiers(job, attempt=job.attempt + 1)):
            return await self._intake.publish(job.job_id, job.ticket_id, tracing.traceparent(), cause)


def _reason(failure: Exception) -> str:
    if is_locked(failure):
        return "the relay waits for a locked row"
    return "the relay waits" if is_away(failure) or isinstance(failure, TimeoutError) else "a step of the relay fails"


def _report(job: JobIdentity, outcome: Outcome) -> None:
    report_in_new_span(_SPAN, job, outcome, **_identifiers(job, job.attempt))


def _identifiers(job: JobIdentity, attempt: int) -> dict[str, str]:
    # The cause explains why a job that ended long ago is published again.
    cause = {"cause": RETRIED_BY_HAND} if job.by_hand else {}
    return other_ticket_ids(job.ticket_id, job.desk_id, job.display_id) | {"attempt": str(attempt)} | cause
