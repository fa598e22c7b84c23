"""The relay: puts every recorded job that is due into the queue, and ends those past their deadline.

Every API process runs one; rows are taken with SKIP LOCKED, so that several do the work once. What it does each second:

1. events that waited in Redis become rows (Postgres was away);
2. jobs past their deadline that no worker holds are failed; it is put off for who waits for the tenant's limit;
3. jobs whose worker fell silent wait again, or are failed when that was their last attempt;
4. jobs that are due and have no message (retries, Redis was away) get one.

And every few seconds: when there are fewer messages than published jobs that wait, it publishes as many again, the
oldest first (`dispatch.shortage`).

Each step stands by itself, within a few seconds: whoever vanished with a lock on some row delays that row alone.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Literal

from dispatch.acceptance import Acceptance
from dispatch.inbox import Inbox
from dispatch.outcome import How, Outcome, in_its_trace, report_apart
from dispatch.queue import JobQueue, QueueUnreachable
from dispatch.shortage import Shortage
from observability import metrics, phrases, tracing
from observability.identifiers import other_numbers
from observability.logging import say
from storage import jobs, relaying
from storage.jobs import RETRIED_BY_HAND, Published
from storage.session import DATABASE_FAILURES, Database, is_away, is_locked, is_refused

_PAUSE_SECONDS = 1.0
# The server gives a statement that waits for a lock a second more.
_STEP_SECONDS = 4.0
_LAST_ROUND_SECONDS = 3.0
_LOST_CHECK_SECONDS = 5.0
_PURGE_SECONDS = 60.0
_BATCH = 100
# Ends and lost messages: there are many only after something went wrong, and each second that they are there costs.
_LARGE_BATCH = 500
# So many messages keep all workers awake: none is missed, and nobody counts a million jobs every few seconds.
_LONG_LIST = 10_000
_SPAN = "Relay"
_DEADLINE_PASSED = "deadline passed"
_WORKER_LOST = "worker lost at its last attempt"


class DeadlinePassed(Exception):
    """A job that no worker ended in time; never raised, it is what the trace shows."""


class WorkerLost(Exception):
    """A job whose worker died or fell silent in the last of its attempts; never raised, as the one above."""


class Relay:
    """The loop; `run()` it until cancelled. A step that takes longer than `step_seconds` is not waited for.

    `most_running` returns how many jobs those tenants may have in flight that have a limit.
    """

    def __init__(
        self,
        database: Database,
        queue: JobQueue,
        inbox: Inbox,
        acceptance: Acceptance,
        job_deadline_seconds: int,
        *,
        most_running: Callable[[], Mapping[str, int]] = dict,
        step_seconds: float = _STEP_SECONDS,
    ) -> None:
        self._database = database
        self._queue = queue
        self._inbox = inbox
        self._acceptance = acceptance
        self._deadline = job_deadline_seconds
        self._most_running = most_running
        self._step_seconds = step_seconds
        self._lost_checked_at = self._purged_at = 0.0
        self._shortage = Shortage()
        self._under_way: dict[str, asyncio.Future[None]] = {}

    async def run(self) -> None:
        """Relay until cancelled; a store that is away is tried again a second later.

        A round that is under way then has some seconds to finish: it may have ended jobs in their rows, and not yet
        said so.
        """
        while True:
            under_way = asyncio.ensure_future(self._round())
            try:
                await asyncio.shield(under_way)
            except asyncio.CancelledError:
                await asyncio.wait({under_way}, timeout=_LAST_ROUND_SECONDS)
                under_way.cancel()
                for step in self._under_way.values():
                    step.cancel()
                raise
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _round(self) -> None:
        with tracing.untraced():
            if await self.once():
                self._acceptance.database_outage.over()
                metrics.RELAYED_AT.set_to_current_time()

    async def once(self) -> bool:
        """Take each step once, by itself, and return True if all of them worked.

        One that waits for a lock or takes too long does not keep the others from theirs; a store that is away ends the
        round.
        """
        worked = True
        for step in (
            self._put_off_deadlines,
            self._end_overdue,
            self._recover,
            self._fail_lost,
            self._empty_inbox,
            self._publish_due,
            self._publish_lost,
            self._purge,
        ):
            try:
                await self._within_its_time(step)
            except (*DATABASE_FAILURES, TimeoutError) as failure:
                worked = False
                self._acceptance.database_outage.seen(_words(failure), failure)
                if is_away(failure) and not is_locked(failure):
                    break
            except QueueUnreachable as failure:
                worked = False
                self._acceptance.queue_outage.seen("the relay waits", failure)
            except Exception as failure:  # noqa: BLE001 -- a relay that ended would leave jobs waiting for ever
                worked = False
                say(phrases.RELAY_FAILED, failure=failure)
        return worked

    async def _within_its_time(self, step: Callable[[], Awaitable[None]]) -> None:
        """Take a step, or wait for it if it is still under way. Raises TimeoutError, and what the step raises.

        A late step goes on, and is not begun anew: it may have ended jobs in their rows, and not yet said so.
        """
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
        for job in await relaying.recover(self._database, _BATCH):
            _report(job, Outcome(How.RECOVERED, "worker lost"))

    async def _fail_lost(self) -> None:
        for job in await relaying.fail_lost(self._database, _BATCH, _WORKER_LOST):
            _report(job, Outcome(How.WORKER_LOST, _WORKER_LOST, failure=WorkerLost()))

    async def _publish_due(self) -> None:
        await self._publish(await relaying.take_due(self._database, _BATCH), "due")

    async def _purge(self) -> None:
        if time.monotonic() - self._purged_at >= _PURGE_SECONDS:
            self._purged_at = time.monotonic()
            await relaying.purge_short_lived(self._database)

    async def _put_off_deadlines(self) -> None:
        if most := self._most_running():
            await relaying.put_off_deadlines(self._database, most, self._deadline, _LARGE_BATCH)

    async def _end_overdue(self) -> None:
        for job in await relaying.expire(self._database, _LARGE_BATCH, _DEADLINE_PASSED):
            _report(job, Outcome(How.EXPIRED, _DEADLINE_PASSED, failure=DeadlinePassed()))

    async def _empty_inbox(self) -> None:
        """Other replicas and workers move the same events: who takes an event away tells of it, and nobody else."""
        moved = 0
        events = await self._inbox.some(_BATCH)
        # In another order each time: no event that can't be moved keeps others from their turn for ever.
        random.shuffle(events)
        for event in events:
            try:
                first = await jobs.accept_late(self._database, event, self._deadline)
            except DATABASE_FAILURES as failure:
                if is_refused(failure):
                    await self._inbox.discard([str(event.job_id)])
                elif not is_locked(failure):
                    raise
                continue  # it has no job, or its delivery is just being recorded, or somebody vanished while doing that
            if not await self._inbox.remove(event.job_id):
                continue
            moved += 1
            metrics.INBOX_MOVED.inc()
            if not first:
                report_apart(_SPAN, event, Outcome(How.DUPLICATE, jobs.DUPLICATE), attempt="0")
        if moved:
            say(phrases.INBOX_EMPTIED, count=moved)

    async def _publish_lost(self) -> None:
        if time.monotonic() - self._lost_checked_at < _LOST_CHECK_SECONDS:
            return
        self._lost_checked_at = time.monotonic()
        # The list first: what is claimed in between is then no longer counted as waiting.
        listed, held = await self._queue.sizes()
        if listed >= _LONG_LIST:
            return
        waiting, running = await relaying.count_listed(self._database, listed + held + _LARGE_BATCH)
        lost = min(self._shortage.lost(waiting - listed, unclaimed=max(0, held - running)), _LARGE_BATCH)
        if lost > 0:
            await self._publish(await relaying.take_without_message(self._database, waiting - lost, lost), "lost")
        if lost == _LARGE_BATCH:
            self._lost_checked_at = 0.0  # there are more: the next round goes on

    async def _publish(self, due: Sequence[Published], why: Literal["due", "lost"]) -> None:
        published = await asyncio.gather(*(self._publish_one(job, why) for job in due))
        if left := [job.job_id for job, done in zip(due, published, strict=True) if not done]:
            await relaying.unpublish(self._database, left)

    async def _publish_one(self, job: Published, why: Literal["due", "lost"]) -> bool:
        with in_its_trace(_SPAN, job, **_identifiers(job, attempt=job.attempt + 1)):
            return await self._acceptance.publish(job.job_id, job.ticket_id, tracing.traceparent(), why)


def _words(failure: Exception) -> str:
    if is_locked(failure):
        return "the relay waits for a locked row"
    return "the relay waits" if is_away(failure) or isinstance(failure, TimeoutError) else "a step of the relay fails"


def _report(job: Published, outcome: Outcome) -> None:
    report_apart(_SPAN, job, outcome, **_identifiers(job, job.attempt))


def _identifiers(job: Published, attempt: int) -> dict[str, str]:
    # A job that ended long ago is published again: the line says why.
    told = other_numbers(job.ticket_id, job.desk_id, job.display_id) | {"attempt": str(attempt)}
    return told | ({"cause": RETRIED_BY_HAND} if job.by_hand else {})
