"""`ai-agents retry`: manual retry of failed or skipped jobs.

The result goes to standard output, each job's log line `Job requeued` to standard error.
"""

import argparse
import sys
from collections.abc import Sequence
from uuid import UUID

from cli.arguments import MAX_RETRIED
from cli.database import run_with_database
from cli.terminal import as_json, confirmed, table, terminal_width
from config.exit_codes import NOT_DONE_EXIT
from config.settings import ByHandSettings
from db.session import Database
from jobs import details, manual_retry
from jobs.details import Listed, Retried
from jobs.manual_retry import NotRetriedError, is_last_of_ticket
from jobs.models import JobState


def run(chosen: argparse.Namespace) -> int:
    """Retry the named or all failed jobs; return 1 if a named one can't be retried.

    All failed jobs are shown and confirmed first: 1 if declined, 2 if no prompt is possible.
    """
    if chosen.failed == bool(chosen.jobs):
        chosen.refuse("give job ids, or --failed with --since")
    if chosen.failed and chosen.since is None:
        chosen.refuse("--failed needs --since")
    if not chosen.failed and (chosen.since or chosen.tenant or chosen.limit or chosen.yes):
        chosen.refuse("--since, --tenant, --limit and --yes need --failed")
    if chosen.failed and chosen.json and not chosen.yes:
        chosen.refuse("--failed --json needs --yes")

    async def work(database: Database, settings: ByHandSettings) -> int:
        if not chosen.failed:
            return await _retry_each(database, chosen.jobs, settings.job_deadline_seconds, chosen)
        jobs = await _failed(database, chosen)
        if jobs and not chosen.yes:
            rows = [(str(job.id), job.tenant_id, job.ticket_id, job.reason or "") for job in jobs]
            print(table(("JOB", "TENANT", "TICKET", "FAILED WITH"), rows, terminal_width()))
            count = "this job" if len(jobs) == 1 else f"these {len(jobs)} jobs"
            if not confirmed(f"Retry {count}?", chosen, "retry these"):
                return NOT_DONE_EXIT
        await _retry_each(database, [job.id for job in jobs], settings.job_deadline_seconds, chosen)
        return 0

    return run_with_database(work)


async def _failed(database: Database, chosen: argparse.Namespace) -> list[Listed]:
    """Return the oldest failed jobs, at most `--limit`, one a ticket.

    A ticket gets one enhancement: a job is left out if another one of its ticket failed later, is completed or is
    open. For a second note the operator names the job.
    """
    failed_jobs = await details.listed(
        database, tenant_id=chosen.tenant, states=[JobState.FAILED.value], since=chosen.since, most=None
    )
    most = chosen.limit or MAX_RETRIED
    jobs: list[Listed] = []
    left_out = 0
    for job in failed_jobs[::-1]:
        if len(jobs) == most:
            print(f"Limited to the oldest {most}; raise --limit for more.", file=sys.stderr)
            break
        if await is_last_of_ticket(database, job.tenant_id, job.ticket_id, job.id):
            jobs.append(job)
        else:
            left_out += 1
    if left_out:
        print(f"{left_out} left out: another job of the ticket completed, is open, or failed later.", file=sys.stderr)
    return jobs


async def _retry_each(
    database: Database, job_ids: Sequence[UUID], deadline_seconds: int, chosen: argparse.Namespace
) -> int:
    done: list[Retried] = []
    refused: list[tuple[UUID, str]] = []
    try:
        for job_id in job_ids:
            try:
                done.append(await manual_retry.retry(database, job_id, deadline_seconds))
            except NotRetriedError as refusal:
                refused.append((job_id, str(refusal)))
    finally:
        # Also the jobs done before the database was lost.
        _show(done, refused, is_json=chosen.json)
    return NOT_DONE_EXIT if refused else 0


def _show(done: Sequence[Retried], refused: Sequence[tuple[UUID, str]], *, is_json: bool) -> None:
    if is_json:
        names = ("job_id", "tenant_id", "ticket_id")
        results = [{name: getattr(job, name) for name in names} | {"retried": True, "was": job.was} for job in done]
        print(as_json([*results, *({"job_id": job_id, "retried": False, "why": reason} for job_id, reason in refused)]))
        return
    for job_id, reason in refused:
        print(f"Not retried: {job_id}: {reason}.", file=sys.stderr)
    if done:
        rows = [(str(job.job_id), job.tenant_id, job.ticket_id, job.was) for job in done]
        print(table(("JOB", "TENANT", "TICKET", "WAS"), rows, terminal_width()))
    print(f"{len(done)} {'job is' if len(done) == 1 else 'jobs are'} waiting again.")
