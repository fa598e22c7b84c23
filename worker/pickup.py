"""From a message to a job: claimed, found in the inbox, or handed back while the database is away."""

import asyncio
import time
from uuid import UUID

from observability import phrases
from observability.outage import Outage
from storage import jobs
from storage.session import DATABASE_FAILURES, is_away
from worker.inbox import Inbox
from worker.queue import QueueUnreachable
from workflow.run import Runner, run_job

_KEEP_SECONDS = 30.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 5.0


class JobHandedBack(Exception):
    """This worker can't run the job now: its message must go back into the list, never be acknowledged."""


class Pickup:
    """What happens to each message that a worker takes."""

    def __init__(self, runner: Runner, inbox: Inbox, job_deadline_seconds: int) -> None:
        self._runner = runner
        self._inbox = inbox
        self._deadline = job_deadline_seconds
        self._database_outage = Outage(phrases.DATABASE_UNREACHABLE)

    async def take(self, job_id: UUID) -> None:
        """Run the job, if there is anything to run. Raises JobHandedBack after half a minute without a database."""
        give_up_at = time.monotonic() + _KEEP_SECONDS
        pause = _FIRST_PAUSE
        while True:
            try:
                await self._run_or_find(job_id)
            except DATABASE_FAILURES as failure:
                if not is_away(failure):
                    raise
                self._database_outage.seen("unreachable", failure)
            except QueueUnreachable:
                pass  # the inbox could not be read: as bad as a database that is away
            else:
                self._database_outage.over()
                return
            if time.monotonic() + pause > give_up_at:
                raise JobHandedBack
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _run_or_find(self, job_id: UUID) -> None:
        if await run_job(self._runner, job_id):
            return
        if await jobs.state_of(self._runner.database, job_id) is not None:
            return  # a message that came twice or late: the claim has decided
        event = await self._inbox.get(job_id)
        if event is not None:
            await jobs.accept_late(self._runner.database, event, self._deadline)
            await self._inbox.remove(job_id)
            await run_job(self._runner, job_id)
