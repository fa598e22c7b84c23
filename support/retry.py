"""`ai-agents retry`: jobs that failed or were skipped wait again, at a person's word.

Standard output tells the person (or, with `--json`, the machine) what was done; the line `Job requeued` of each job
goes to standard error, where the log of this command is.
"""

import argparse
import sys
from typing import Any
from uuid import UUID

from config.settings import ByHandSettings
from observability import phrases, tracing
from observability.identifiers import bound
from observability.logging import say
from storage import by_hand
from storage.by_hand import NotRetried, Retried
from storage.models import JobState
from storage.session import Database
from support.arguments import check_retry
from support.asking import ask
from support.tables import as_json, table, terminal_width

_REFUSED_EXIT = 1
_HEAD = ("JOB", "TENANT", "TICKET", "WAS")


class _Outcome:
    """What became of each job so far."""

    def __init__(self) -> None:
        self.retried: list[Retried] = []
        self.refused: list[tuple[UUID, str]] = []

    def show(self, *, for_machines: bool) -> None:
        """Print it."""
        if for_machines:
            print(as_json([*map(_retried, self.retried), *(_refused(*refusal) for refusal in self.refused)]))
            return
        for job_id, why in self.refused:
            print(f"Not retried: {job_id}: {why}.", file=sys.stderr)
        if self.retried:
            rows = [(str(job.job_id), job.tenant_id, job.ticket_id, job.was) for job in self.retried]
            print(table(_HEAD, rows, terminal_width()))
        print(f"{len(self.retried)} {'job waits' if len(self.retried) == 1 else 'jobs wait'} again.")


def run(chosen: argparse.Namespace) -> int:
    """Retry what was named, or all that failed; the exit status, 1 when a named job can't be tried again."""
    check_retry(chosen)

    async def work(database: Database, settings: ByHandSettings) -> int:
        job_ids = await _failed(database, chosen) if chosen.failed else chosen.jobs
        outcome = _Outcome()
        try:
            for job_id in job_ids:
                await _retry(database, job_id, settings.job_deadline_seconds, outcome)
        finally:
            # Also what was done before the database went away.
            outcome.show(for_machines=chosen.json)
        return _REFUSED_EXIT if outcome.refused and not chosen.failed else 0

    return ask(work)


async def _failed(database: Database, chosen: argparse.Namespace) -> list[UUID]:
    """Those that `ai-agents jobs --state failed` lists, oldest first."""
    found = await by_hand.listed(
        database, tenant_id=chosen.tenant, states=[JobState.FAILED.value], since=chosen.since, most=None
    )
    return [job.id for job in reversed(found)]


async def _retry(database: Database, job_id: UUID, deadline_seconds: int, outcome: _Outcome) -> None:
    try:
        job = await by_hand.retry(database, job_id, deadline_seconds)
    except NotRetried as refusal:
        outcome.refused.append((job_id, str(refusal)))
        return
    outcome.retried.append(job)
    identifiers = {"ticket_id": job.ticket_id, "tenant_id": job.tenant_id, "job_id": str(job_id)}
    with bound(**identifiers), tracing.span("Retry", parent=tracing.context_of(job.traceparent)):
        say(phrases.JOB_REQUEUED, job_id=job_id, ticket_id=job.ticket_id, reason=by_hand.RETRIED_BY_HAND)


def _retried(job: Retried) -> dict[str, Any]:
    ids = {"job_id": job.job_id, "tenant_id": job.tenant_id, "ticket_id": job.ticket_id}
    return {**ids, "retried": True, "was": job.was}


def _refused(job_id: UUID, why: str) -> dict[str, Any]:
    return {"job_id": job_id, "retried": False, "why": why}
