"""`ai-agents enhance`: enhancement of a ticket by hand, first or further.

The job's id goes to standard output, the log line `Refresh asked for` to standard error.
"""

import argparse
import sys
from collections.abc import Sequence
from datetime import timedelta

from cli.database import run_with_database
from cli.terminal import as_json
from config.exit_codes import NOT_DONE_EXIT
from config.settings import ByHandSettings
from config.tenant_directory import read_environment
from config.tenant_validation import parse_tenants
from db.session import Database
from jobs import details, refresh
from jobs.details import Listed
from jobs.intake import request_refresh
from jobs.models import JobState
from jobs.repository import REFRESH_APART, REFRESH_BY_HAND
from observability.formats import when


def run(chosen: argparse.Namespace) -> int:

    async def work(database: Database, settings: ByHandSettings) -> int:
        jobs = await details.listed(database, tenant_id=chosen.tenant, ticket_id=chosen.ticket)
        tenants, _ = parse_tenants(read_environment(settings.secrets_dir)(), keys=())
        candidates = {*tenants, *(job.tenant_id for job in jobs)}
        tenant_id, refusal = chosen.tenant or "", ""
        if chosen.tenant is None:
            tenant_id = next(iter(candidates), "")
            choices = f": {', '.join(sorted(candidates))}" if candidates else ""
            refusal = "" if len(candidates) == 1 else f"give the tenant of the ticket with --tenant{choices}"
        elif chosen.tenant not in candidates:
            refusal = f"no tenant {chosen.tenant} is set up here"
        refusal = refusal or await _turn_refused(database, tenant_id, jobs)
        if refusal:
            print(f"Not requested: {refusal}.", file=sys.stderr)
            if chosen.json:
                print(as_json({"asked": False, "why": refusal}))
            return NOT_DONE_EXIT
        deadline = settings.job_deadline_seconds
        job_id = await request_refresh(database, tenant_id, chosen.ticket, REFRESH_BY_HAND, deadline)
        if chosen.json:
            print(as_json({"asked": True, "job_id": job_id, "tenant_id": tenant_id, "ticket_id": chosen.ticket}))
        else:
            print(f"Requested: ticket {chosen.ticket} of {tenant_id}, job {job_id}.")
            print(f"Progress: `ai-agents show {job_id}`")
        return 0

    return run_with_database(work)


async def _turn_refused(database: Database, tenant_id: str, jobs: Sequence[Listed]) -> str:
    ticket_jobs = [job for job in jobs if job.tenant_id == tenant_id]
    for job in ticket_jobs:
        if job.state in (JobState.WAITING, JobState.RUNNING):
            return f"job {job.id} of this ticket has not ended; see `ai-agents show {job.id}`"
    last = await refresh.refreshed_lately(database, tenant_id, [job.id for job in ticket_jobs])
    if last is None:
        return ""
    again = last + REFRESH_APART + timedelta(seconds=1)
    return f"the ticket was refreshed at {when(last)}; the next refresh is possible from {when(again)}"
