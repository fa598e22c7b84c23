"""`ai-agents audit`: the records of what a model was sent and what it answered, for who must account for it."""

import argparse
import sys
from typing import Any

from config.settings import ByHandSettings
from config.tenant_directory import TenantDirectory
from config.tenant_names import setting_suffix
from config.tenant_reading import read_environment
from storage import audit
from storage.models import AuditRecord
from storage.session import Database
from support.asking import ask
from support.tables import as_json_line, table, terminal_width, when

_HEAD = ("AT", "JOB", "TICKET", "PROMPT", "MASKING", "TOKENS", "DOLLARS", "SOURCES", "MODEL")


def run(chosen: argparse.Namespace) -> int:
    """Print the records that were asked for, a line each; the exit status."""

    async def work(database: Database, settings: ByHandSettings) -> int:
        rows: list[tuple[str, ...]] = []
        found = False
        async for record in audit.records(
            database, chosen.tenant, ticket_id=chosen.ticket, job_id=chosen.job, since=chosen.since
        ):
            found = True
            if chosen.json:
                # At once: all of them may be more than there is memory for.
                print(as_json_line(for_machines(record)))
            else:
                rows.append(_cells(record))
        if rows:
            print(table(_HEAD, rows, terminal_width()))
        elif not found:
            print(f"No audit record matches.{_why(chosen.tenant, settings)}", file=sys.stderr)
        return 0

    return ask(work)


def _why(tenant_id: str, settings: ByHandSettings) -> str:
    tenant = TenantDirectory(read_environment(settings.secrets_dir)).get(tenant_id)
    keeps_none = tenant is not None and tenant.usable and not tenant.audit_days
    return f" {tenant_id} keeps none: see AUDIT_DAYS_{setting_suffix(tenant_id)}." if keeps_none else ""


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
        f"{record.model} at {record.host}",
    )


def dollars(cost: float | None) -> str:
    """Return what an answer cost; `-` where the endpoint did not tell."""
    return "-" if cost is None else f"{cost:.4f}"


def for_machines(record: AuditRecord) -> dict[str, Any]:
    """Give all of it for JSON, but for the hash of whoever asked."""
    names = [column.name for column in AuditRecord.__table__.columns if column.name != "requester"]
    return {name: getattr(record, name) for name in names}
