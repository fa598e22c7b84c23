"""`ai-agents feedback`: results of notes by tenant, prompt and model."""

import argparse
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

from cli.database import ask
from cli.terminal import as_json, table, terminal_width
from config.settings import ByHandSettings
from config.tenant_directory import TenantDirectory, read_environment
from db.session import Database
from jobs import feedback


def run(chosen: argparse.Namespace) -> int:
    async def work(database: Database, settings: ByHandSettings) -> int:
        since = datetime.now(UTC) - timedelta(days=chosen.days)
        known = TenantDirectory(read_environment(settings.secrets_dir), keys=()).all()
        tenant_ids = [chosen.tenant] if chosen.tenant else sorted(tenant.id for tenant in known)
        found = [
            {
                "tenant_id": tenant_id,
                "prompt": row.version.prompt,
                "model": row.version.model,
                "notes": row.notes,
                "votes": row.votes,
                "useful": row.useful,
                "useful_share": None if row.useful_share is None else round(row.useful_share, 3),
                "reasons": row.reasons,
                "taken_up": None if row.taken_up is None else round(row.taken_up, 3),
                "taken_up_of": row.measured,
            }
            for tenant_id in tenant_ids
            for row in await feedback.figures(database, tenant_id, since)
        ]
        if chosen.json:
            print(as_json(found))
        elif found:
            print(_for_people(found))
        elif tenant_ids:
            print(f"No note was written in {chosen.days} days.", file=sys.stderr)
        else:
            print("No tenant is in the settings here: name one with --tenant.", file=sys.stderr)
        return 0

    return ask(work)


def _for_people(found: list[dict[str, Any]]) -> str:
    head = ("TENANT", "PROMPT", "MODEL", "NOTES", "VOTES", "USEFUL", "TAKEN UP", "OF", "REASONS")
    rows = [
        (
            row["tenant_id"],
            row["prompt"] or "-",
            row["model"] or "-",
            str(row["notes"]),
            str(row["votes"]),
            *("-" if share is None else f"{share:.0%}" for share in (row["useful_share"], row["taken_up"])),
            str(row["taken_up_of"]),
            ", ".join(f"{reason} {count}" for reason, count in row["reasons"].items()),
        )
        for row in found
    ]
    return table(head, rows, terminal_width())
