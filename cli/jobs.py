"""`ai-agents jobs`: list of jobs, newest first."""

import argparse
import sys
from dataclasses import asdict
from typing import Any

from cli.database import run_with_database
from cli.terminal import as_json, table, terminal_width
from config.settings import ByHandSettings
from db.session import Database
from jobs import details
from jobs.details import Listed
from jobs.models import JobState
from observability.formats import age, duration


def run(chosen: argparse.Namespace) -> int:
    async def work(database: Database, _settings: ByHandSettings) -> int:
        matches = await details.listed(
            database,
            tenant_id=chosen.tenant,
            ticket_id=chosen.ticket,
            states=chosen.state,
            since=chosen.since,
            most=chosen.limit + 1,
        )
        page = matches[: chosen.limit]
        if chosen.json:
            print(as_json([_for_machines(job) for job in page]))
        elif page:
            head = ("JOB", "TENANT", "TICKET", "STATE", "TRY", "AGE", "TIME", "REASON")
            print(table(head, [_cells(job) for job in page], terminal_width()))
        else:
            print("No job matches.", file=sys.stderr)
        if len(matches) > len(page):
            print(f"Limited to the newest {len(page)}; raise --limit for more.", file=sys.stderr)
        return 0

    return run_with_database(work)


def _cells(job: Listed) -> tuple[str, ...]:
    until_due = (job.due_at - job.read_at).total_seconds()
    delayed = job.state == JobState.WAITING and until_due > 0
    return (
        str(job.id),
        job.tenant_id,
        job.ticket_id,
        job.state,
        str(job.attempt),
        age((job.read_at - job.accepted_at).total_seconds()),
        f"in {duration(until_due)}" if delayed else duration(_seconds(job)),
        job.reason or "",
    )


def _for_machines(job: Listed) -> dict[str, Any]:
    fields = asdict(job)
    del fields["read_at"]
    return {"job_id": fields.pop("id"), **fields, "seconds": round(_seconds(job), 1)}


def _seconds(job: Listed) -> float:
    """Return the seconds since it was due, since its attempt began, or until its end.

    An ended job counts from its webhook.
    """
    if job.state == JobState.WAITING:
        return max(0.0, (job.read_at - job.due_at).total_seconds())
    if job.state == JobState.RUNNING:
        return (job.read_at - (job.started_at or job.read_at)).total_seconds()
    return ((job.finished_at or job.read_at) - job.accepted_at).total_seconds()
