"""`ai-agents feedback`: results of notes by tenant, prompt and model."""

import argparse
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import text

from cli.database import run_with_database
from cli.terminal import as_json, table, terminal_width
from config.settings import ByHandSettings
from config.tenant_directory import TenantDirectory, read_environment
from db.session import Database
from jobs.feedback import NoteVersion

_FIGURES = text("""
    SELECT coalesce(nullif(f.prompt, ''), j.enhancement ->> 'prompt', '') AS prompt,
        coalesce(nullif(f.model, ''), j.model, '') AS model,
        count(*) AS notes, count(f.vote) AS votes, count(*) FILTER (WHERE f.vote = 'useful') AS useful,
        array_remove(array_agg(f.reason), NULL) AS reasons,
        count(f.taken_up) AS measured, avg(f.taken_up)::double precision AS taken_up
    FROM jobs j LEFT JOIN feedback f ON f.job_id = j.id
    WHERE j.tenant_id = current_setting('app.tenant_id') AND j.accepted_at >= :since
    AND (j.state = 'completed' OR f.job_id IS NOT NULL)
    GROUP BY 1, 2 ORDER BY 1, 2
""")


class FeedbackFigures(NamedTuple):
    """Feedback on the notes of one tenant, prompt and model."""

    version: NoteVersion
    notes: int
    votes: int
    useful: int
    reasons: dict[str, int]
    measured: int
    taken_up: float | None

    @property
    def useful_share(self) -> float | None:
        return self.useful / self.votes if self.votes else None


def run(chosen: argparse.Namespace) -> int:
    async def work(database: Database, settings: ByHandSettings) -> int:
        since = datetime.now(UTC) - timedelta(days=chosen.days)
        tenants = TenantDirectory(read_environment(settings.secrets_dir), keys=()).all()
        tenant_ids = [chosen.tenant] if chosen.tenant else sorted(tenant.id for tenant in tenants)
        records = [
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
            for row in await figures(database, tenant_id, since)
        ]
        if chosen.json:
            print(as_json(records))
        elif records:
            print(_for_people(records))
        elif tenant_ids:
            print(f"No notes in the last {chosen.days} days.", file=sys.stderr)
        else:
            print("No tenant has settings here. Give --tenant.", file=sys.stderr)
        return 0

    return run_with_database(work)


async def figures(database: Database, tenant_id: str, since: datetime) -> list[FeedbackFigures]:
    (rows,) = await database.call_as(tenant_id, _FIGURES, since=since)
    return [
        FeedbackFigures(
            NoteVersion(row["prompt"], row["model"]),
            **{name: row[name] for name in ("notes", "votes", "useful", "measured", "taken_up")},
            reasons=dict(Counter(row["reasons"] or ()).most_common()),
        )
        for row in rows
    ]


def _for_people(records: list[dict[str, Any]]) -> str:
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
        for row in records
    ]
    return table(head, rows, terminal_width())
