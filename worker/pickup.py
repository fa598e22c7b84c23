"""From a message to a job: whichever has its turn, found in the inbox if need be; or given back.

A message is a wake-up, not an order: the id that it names is looked at only when no job is due.
"""

import asyncio
import time
from uuid import UUID

from dispatch.inbox import Inbox
from dispatch.outcome import How, Outcome, report_apart
from dispatch.queue import QueueUnreachable
from observability import metrics, phrases, tracing
from observability.logging import say
from observability.outage import Outage
from storage import jobs
from storage.session import DATABASE_FAILURES, is_away, is_locked
from workflow.run import Runner, run_next

_KEEP_SECONDS = 30.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 5.0
_NOWHERE = "its row is nowhere"


class JobGivenBack(Exception):
    """This worker runs no job to its end: the message goes back into the list, and is not acknowledged."""


class Pickup:
    """What happens to each message that a worker takes."""

    def __init__(self, runner: Runner, inbox: Inbox, job_deadline_seconds: int) -> None:
        self._runner = runner
        self._inbox = inbox
        self._deadline = job_deadline_seconds
        self._database_outage = Outage(phrases.DATABASE_UNREACHABLE)

    async def take(self, job_id: UUID) -> None:
        """Run the job whose turn it is, if there is one; `job_id` is the message's.

        Raises NoneMayStart, and JobGivenBack after half a minute without a database.
        """
        give_up_at = time.monotonic() + _KEEP_SECONDS
        pause = _FIRST_PAUSE
        while True:
            try:
                await self._run_or_find(job_id)
            except DATABASE_FAILURES as failure:
                self._database_outage.seen(_words(failure), failure)
            except QueueUnreachable:
                pass  # the inbox could not be read: as bad as a database that is away
            else:
                self._database_outage.over()
                return
            if time.monotonic() + pause > give_up_at:
                raise JobGivenBack
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _run_or_find(self, job_id: UUID) -> None:
        if await run_next(self._runner) is not None:
            return
        if await jobs.state_of(self._runner.database, job_id) is not None:
            return  # a message that came twice or late, or whose job another one has woken a worker for
        event = await self._inbox.get(job_id)
        if event is None:
            # The relay moves events too: it may have done so between the two looks.
            if await jobs.state_of(self._runner.database, job_id) is None:
                metrics.MESSAGES_WITHOUT_ROW.inc()
                say(phrases.MESSAGE_FAILED, job_id=job_id, reason=_NOWHERE)
        else:
            first = await jobs.accept_late(self._runner.database, event, self._deadline)
            # The relays move events too: who takes this one away tells of it.
            if await self._inbox.remove(job_id):
                metrics.INBOX_MOVED.inc()
                if not first:
                    report_apart(tracing.WORKER, event, Outcome(How.DUPLICATE, jobs.DUPLICATE))
            if first:
                await run_next(self._runner)


def _words(failure: Exception) -> str:
    if is_locked(failure):
        return "a job's row is locked"
    return "unreachable" if is_away(failure) else "job can't be claimed"
