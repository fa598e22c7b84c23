"""`ai-agents feedback`: results of notes by tenant, prompt and model."""

import argparse
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

from config.settings import ByHandSettings
from config.tenant_directory import TenantDirectory, read_environment
from storage import feedback
from storage.feedback import FeedbackFigures
from storage.session import Database
from support.asking import ask
from support.tables import as_json, table, terminal_width

_HEAD = ("TENANT", "PROMPT", "MODEL", "NOTES", "VOTES", "USEFUL", "TAKEN UP", "OF", "REASONS")


def run(chosen: argparse.Namespace) -> int:
    async def work(database: Database, settings: ByHandSettings) -> int:
        since = datetime.now(UTC) - timedelta(days=chosen.days)
        tenant_ids = [chosen.tenant] if chosen.tenant else _tenant_ids(settings)
        found = [
            (tenant_id, row) for tenant_id in tenant_ids for row in await feedback.figures(database, tenant_id, since)
        ]
        if chosen.json:
            print(as_json([_for_machines(tenant_id, row) for tenant_id, row in found]))
        elif found:
            print(table(_HEAD, [_cells(tenant_id, row) for tenant_id, row in found], terminal_width()))
        elif tenant_ids:
            print(f"No note was written in {chosen.days} days.", file=sys.stderr)
        else:
            print("No tenant is in the settings here: name one with --tenant.", file=sys.stderr)
        return 0

    return ask(work)


def _tenant_ids(settings: ByHandSettings) -> list[str]:
    return sorted(tenant.id for tenant in TenantDirectory(read_environment(settings.secrets_dir), keys=()).all())


def _cells(tenant_id: str, row: FeedbackFigures) -> tuple[str, ...]:
    return (
        tenant_id,
        row.version.prompt or "-",
        row.version.model or "-",
        str(row.notes),
        str(row.votes),
        _percent(row.useful_share),
        _percent(row.taken_up),
        str(row.measured),
        ", ".join(f"{reason} {count}" for reason, count in row.reasons.items()),
    )


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.0%}"


def _for_machines(tenant_id: str, row: FeedbackFigures) -> dict[str, Any]:
    return {
        "tenant_id": tenant_id,
        "prompt": row.version.prompt,
        "model": row.version.model,
        "notes": row.notes,
        "votes": row.votes,
        "useful": row.useful,
        "useful_share": _rounded(row.useful_share),
        "reasons": row.reasons,
        "taken_up": _rounded(row.taken_up),
        "taken_up_of": row.measured,
    }


def _rounded(share: float | None) -> float | None:
    return None if share is None else round(share, 3)
