"""`ai-agents replay`: audited requests repeated with another model or prompt.

It uses audit records only: no desk is called, no job's row is read or written. Its cost counts against the tenant's
daily limit, like that of jobs.
"""

import argparse
import sys
from collections.abc import Sequence

from config.environment import secrets_dir
from config.exits import AWAY_EXIT, CONFIGURATION_EXIT, NOT_DONE_EXIT
from config.settings import WorkerSettings
from config.tenant_directory import TenantDirectory
from config.tenant_names import setting_suffix
from config.tenant_reading import read_environment
from config.tenants import Tenant
from config.tenants_file import key_name
from integrations.errors import HeldBack, Temporary
from integrations.resilience import HoldReason
from storage import audit
from storage.models import AuditRecord
from storage.session import Database
from support.asking import ask_with
from support.replaying import Replayed, Replaying, for_machines, story
from support.tables import as_json_line, terminal_width
from workflow.prompts import versions
from workflow.replay import may_be_sent_again


def run(chosen: argparse.Namespace) -> int:
    """Print both answers of each record as they arrive; return the exit status.

    1 if a record is missing, may not be sent or got no usable answer, 2 for an unknown prompt, 75 if the model is
    away, 78 without a key or if the model's service needs the operator's action.
    """
    if chosen.prompt is not None and chosen.prompt not in versions():
        chosen.refuse(f"no prompt has the version {chosen.prompt!r}: there are {', '.join(versions())}")
    tenants = TenantDirectory(read_environment(secrets_dir()))

    async def work(database: Database, settings: WorkerSettings) -> int:
        tenant = tenants.get(chosen.tenant)
        if tenant is None or not tenant.usable:
            # These settings restrict where its texts may go.
            print(f"{chosen.tenant} has no usable settings here: nothing of it is sent anywhere.", file=sys.stderr)
            return CONFIGURATION_EXIT
        wanted = await _wanted(database, chosen, tenant.audit_days)
        records = _allowed(wanted, tenant)
        if not records:
            print("There is nothing to replay.", file=sys.stderr)
            return NOT_DONE_EXIT
        async with Replaying(database, settings, tenants, tenant, chosen.model) as replaying:
            if not replaying.endpoint.api_key:
                suffix = setting_suffix(tenant.id)
                print(f"There is no key: set OPENAI_API_KEY, or OPENAI_API_KEY_{suffix}.", file=sys.stderr)
                return CONFIGURATION_EXIT
            status = await _replay(chosen, replaying, records)
        is_all = len(records) == (len(wanted) if chosen.last else len(set(chosen.job)))
        return status or (0 if is_all else NOT_DONE_EXIT)

    # A tenant may have a key of its own.
    return ask_with(WorkerSettings, work, openai_api_key="")


async def _wanted(database: Database, chosen: argparse.Namespace, days: int) -> list[AuditRecord]:
    if chosen.last:
        return await audit.newest(database, chosen.tenant, chosen.last, days=days)
    found = await audit.last_of_jobs(database, chosen.tenant, chosen.job, days=days)
    for job_id in dict.fromkeys(chosen.job):
        if job_id not in found:
            print(f"No audit record of {chosen.tenant} with an answer has the job {job_id}.", file=sys.stderr)
    return [found[job_id] for job_id in dict.fromkeys(chosen.job) if job_id in found]


def _allowed(records: Sequence[AuditRecord], tenant: Tenant) -> list[AuditRecord]:
    allowed = [record for record in records if may_be_sent_again(record, tenant.note)]
    if len(allowed) < len(records):
        left_out = f"{len(records) - len(allowed)} of {len(records)} records are left out"
        why = f"less was masked in them than {key_name(tenant.id, 'masking')} says now"
        print(f"{left_out}: {why}.", file=sys.stderr)
    return allowed


async def _replay(chosen: argparse.Namespace, replaying: Replaying, records: Sequence[AuditRecord]) -> int:
    print(
        f"Calls of {replaying.endpoint.name} at {replaying.host} that will be paid for: {len(records)}, and a second "
        "one for each answer that has to be repaired.",
        file=sys.stderr,
        flush=True,
    )
    done: list[Replayed] = []
    for number, record in enumerate(records):
        try:
            replayed = await replaying.ask(record, chosen.prompt)
        except (HeldBack, Temporary) as stopped:
            print(f"Stopped after {number} of {len(records)}: {stopped.reason}.", file=sys.stderr)
            return CONFIGURATION_EXIT if stopped.reason in set(HoldReason) else AWAY_EXIT
        if replayed is None:
            print(f"The record of the job {record.job_id} is gone by now.", file=sys.stderr)
            continue
        done.append(replayed)
        told = as_json_line(for_machines(replayed)) if chosen.json else f"{story(replayed, terminal_width())}\n"
        # A paid answer is shown before a later failure.
        print(told, flush=True)
    return 0 if len([replayed for replayed in done if replayed.answer]) == len(records) else NOT_DONE_EXIT
