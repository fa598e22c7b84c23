"""`ai-agents audit`: export of model requests and answers, for accountability."""

import argparse
import sys
from typing import Any

from cli.database import run_with_database
from cli.terminal import as_json, table, terminal_width
from config.exit_codes import NOT_DONE_EXIT
from config.settings import ByHandSettings
from config.tenant_directory import TenantDirectory, read_environment
from config.tenants import key_name
from db.session import Database
from observability.formats import dollars, when
from privacy import audit
from privacy.models import AuditRecord

_HEAD = ("AT", "JOB", "TICKET", "PROMPT", "MASKING", "TOKENS", "DOLLARS", "SOURCES", "ANSWER", "MODEL")


def run(chosen: argparse.Namespace) -> int:
    """Print the matching records, one a line; return 1 if a named job has none."""

    async def work(database: Database, settings: ByHandSettings) -> int:
        rows: list[tuple[str, ...]] = []
        has_records = False
        tenant = TenantDirectory(read_environment(settings.secrets_dir), keys=()).get(chosen.tenant)
        # The retention is unknown without the tenant's settings.
        days = tenant.audit_days if tenant is not None and tenant.usable else None
        async for record in audit.records(
            database, chosen.tenant, ticket_id=chosen.ticket, job_id=chosen.job, since=chosen.since, days=days
        ):
            has_records = True
            if chosen.json:
                # One at a time: all of them may exceed the memory.
                print(as_json(for_machines(record), indent=None))
            else:
                rows.append(_cells(record))
        if rows:
            print(table(_HEAD, rows, terminal_width()))
        elif not has_records:
            reason = f" {chosen.tenant} keeps none: see {key_name(chosen.tenant, 'audit_days')}." if days == 0 else ""
            print(f"No audit record matches.{reason}", file=sys.stderr)
        return 0 if has_records or chosen.job is None else NOT_DONE_EXIT

    return run_with_database(work)


def _cells(record: AuditRecord) -> tuple[str, ...]:
    return (
        when(record.at),
        str(record.job_id),
        record.ticket_id,
        record.prompt,
        record.masking,
        str(record.input_tokens + record.output_tokens),
        dollars(record.cost),
        str(len(record.sources)),
        record.reason or "yes",
        f"{record.model} at {record.host}",
    )


def for_machines(record: AuditRecord) -> dict[str, Any]:
    names = [column.name for column in AuditRecord.__table__.columns if column.name != "requester"]
    return {name: getattr(record, name) for name in names} | {"sources": visible_sources(record)}


def visible_sources(record: AuditRecord) -> list[dict[str, str]]:
    return [{name: value for name, value in source.items() if name != "requester"} for source in record.sources]
