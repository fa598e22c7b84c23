"""`ai-agents retry`: manual retry of failed or skipped jobs.

The result goes to standard output, each job's log line `Job requeued` to standard error.
"""

import argparse
import sys
from collections.abc import AsyncIterator, Sequence
from uuid import UUID

from cli.arguments import MAX_RETRIED
from cli.database import run_with_database
from cli.terminal import as_json, confirmed, table, terminal_width
from config.exit_codes import NOT_DONE_EXIT
from config.settings import ByHandSettings
from db.session import Database
from jobs import bulk_retry, manual_retry
from jobs.activity import PageEnd
from jobs.bulk_retry import Estimate, FinishedJob
from jobs.details import Retried
from jobs.manual_retry import NotRetriedError
from observability.formats import money

_PAGE = 500


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
        if jobs:
            print(_estimated(await bulk_retry.estimate(database, jobs, settings.model_prices)), file=sys.stderr)
        if jobs and not chosen.yes:
            rows = [(str(job.id), job.tenant_id, job.ticket_id, job.reason or "") for job in jobs]
            print(table(("JOB", "TENANT", "TICKET", "FAILED WITH"), rows, terminal_width()))
            count = "this job" if len(jobs) == 1 else f"these {len(jobs)} jobs"
            if not confirmed(f"Retry {count}?", chosen, "retry these"):
                return NOT_DONE_EXIT
        await _retry_each(database, [job.id for job in jobs], settings.job_deadline_seconds, chosen)
        return 0

    return run_with_database(work)


async def _failed(database: Database, chosen: argparse.Namespace) -> list[FinishedJob]:
    """Return the failed jobs of the newest failures, at most `--limit`, one a ticket."""
    most = chosen.limit or MAX_RETRIED
    jobs: list[FinishedJob] = []
    left_out = 0
    async for job, is_included in _checked(database, chosen):
        if not is_included:
            left_out += 1
        elif len(jobs) == most:
            print(f"Limited to the newest {most}; raise --limit for more.", file=sys.stderr)
            break
        else:
            jobs.append(job)
    if left_out:
        print(f"{left_out} left out: another job of the ticket completed, is open, or failed later.", file=sys.stderr)
    return jobs


async def _checked(database: Database, chosen: argparse.Namespace) -> AsyncIterator[tuple[FinishedJob, bool]]:
    after: PageEnd | None = None
    while jobs := await bulk_retry.ended(database, chosen.tenant, "failed", chosen.since, after=after, most=_PAGE):
        async for each in bulk_retry.checked(database, jobs):
            yield each
        after = PageEnd(jobs[-1].finished_at, jobs[-1].id)


def _estimated(estimate: Estimate) -> str:
    dollars = "" if estimate.dollars is None else f"{money(estimate.dollars)}, "
    unpriced = " (a model has no price in MODEL_PRICES)" if estimate.dollars is None else ""
    unknown = f", and {estimate.unknown} jobs of tenants without a note" if estimate.unknown else ""
    return f"Estimated cost: {dollars}{estimate.tokens:,} tokens{unpriced}{unknown}."


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
