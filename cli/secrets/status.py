"""`ai-agents secrets status`: age, last use and action of each secret; no values.

The secrets come from the settings here; for a tenant without any here, and for keys of processes, from the processes'
reports.
"""

import argparse
import sys
from collections.abc import Mapping
from datetime import timedelta
from typing import NamedTuple

from cli.database import run_with_database
from cli.terminal import as_json, table, terminal_width
from config.exit_codes import NOT_UNDERSTOOD_EXIT
from config.secret_files import NOT_LISTED, UNREADABLE, unreadable
from config.settings import ByHandSettings
from config.tenant_directory import read_environment
from config.tenants import secrets_in
from db.session import Database
from observability.formats import age
from privacy import secret_fingerprints
from privacy.secret_fingerprints import (
    CURRENT,
    KEPT_KEYS,
    LATELY_HOURS,
    OF_PROCESS,
    PREVIOUS,
    RETIRED,
    TOKEN,
    Remembered,
)

QUIET = timedelta(hours=LATELY_HOURS)
"""Minimum time since the last use of the old secret before it is ended without --force."""
STATUS = "`ai-agents secrets status --tenant {tenant}`"
FINISH = "`ai-agents secrets rotate --tenant {tenant} --finish`"
OLD = timedelta(days=90)
"""Age from which a secret should be changed."""
KEPT_FOR = {"FEEDBACK_PREVIOUS_KEY": OLD, "CONSOLE_PREVIOUS_KEY": timedelta(days=1)}
"""How long a previous key is needed: for links in notes, and for sessions."""
_RUNBOOK = "docs/runbooks/secret-rotation.md"
_FROM_AFAR = (
    "No secret of {tenant} is set here. The table shows reports of processes within two hours; secrets removed since "
    "may still be listed."
)
_ASK_FOR_ONE = ". With --tenant, reports of processes are shown."
_HEAD = ("TENANT", "SECRET", "AGE", "LAST USED", f"LAST {LATELY_HOURS} H", "TO DO")


class SecretRow(NamedTuple):
    """One secret of a tenant; `record` is None if no process has reported it."""

    tenant_id: str
    setting: str
    record: Remembered | None
    to_do: str


def run(chosen: argparse.Namespace) -> int:
    """Print the table; return 2 if nothing is known of the tenant."""

    async def work(database: Database, settings: ByHandSettings) -> int:
        values = read_environment(settings.secrets_dir)()
        for name in (name for name, value in values.items() if value == UNREADABLE):
            print(NOT_LISTED if name == "SECRETS_DIR" else unreadable(name), file=sys.stderr)
        secrets = secrets_in(values)
        grouped: dict[str, dict[str, str]] = {}
        for (tenant_id, setting), secret in secrets.items():
            if chosen.tenant in (None, tenant_id):
                grouped.setdefault(tenant_id, {})[setting] = secret
        rows = [] if chosen.tenant else await _local_rows(database, OF_PROCESS, grouped.pop("", {}))
        rows += [row for tenant, places in grouped.items() for row in await _local_rows(database, tenant, places)]
        if not rows and chosen.tenant is not None:
            rows = _rows(chosen.tenant, await secret_fingerprints.last_seen(database, chosen.tenant))
            if rows:
                print(_FROM_AFAR.format(tenant=chosen.tenant), file=sys.stderr)
        if not rows:
            owner = f" of tenant {chosen.tenant}" if chosen.tenant else ""
            print(f"No secret{owner} is set here{_ASK_FOR_ONE}", file=sys.stderr)
            return NOT_UNDERSTOOD_EXIT
        if not grouped and chosen.tenant is None:
            print(f"No tenant's secret is set here{_ASK_FOR_ONE}", file=sys.stderr)
        print(as_json([_for_machines(row) for row in rows]) if chosen.json else _for_people(rows))
        return 0

    return run_with_database(work)


async def _local_rows(database: Database, tenant_id: str, places: Mapping[str, str]) -> list[SecretRow]:
    records = await secret_fingerprints.remembered(database, tenant_id, places)
    reported = await secret_fingerprints.last_seen(database, tenant_id)
    kinds = {_kind(setting) for setting in places} if tenant_id != OF_PROCESS else set()
    elsewhere = {name: use for name, use in reported.items() if name not in places and _kind(name) not in kinds}
    return _rows(tenant_id, {setting: records.get(setting) for setting in places} | elsewhere)


def _kind(setting: str) -> str:
    return next((kind for kind in ("SERVICEDESK", "OPENAI") if setting.startswith(kind)), "WEBHOOK")


def _rows(tenant_id: str, records: Mapping[str, Remembered | None]) -> list[SecretRow]:
    return [SecretRow(tenant_id, name, record, to_do(tenant_id, name, records)) for name, record in records.items()]


def to_do(tenant_id: str, setting: str, records: Mapping[str, Remembered | None]) -> str:
    """Return the operator's action for a secret, empty for none; `records` has all."""
    record = records[setting]
    if setting == PREVIOUS:
        return _about_previous(tenant_id, record, records.get(CURRENT))
    if setting == RETIRED:
        advice = "the desk still uses it and is refused: ask its admin to set the current one"
        return advice if used_lately(record) else ""
    if setting == CURRENT and PREVIOUS in records and (record is None or record.last_used_at is None):
        return "not used yet: ask the desk's admin to set it"
    if setting in KEPT_KEYS:
        new = records.get(KEPT_KEYS[setting])
        needed = new is None or new.read_at - new.first_seen_at < KEPT_FOR[setting]
        return "" if needed else f"remove it: {_RUNBOOK}"
    if record is None or record.read_at - record.first_seen_at < OLD:
        return ""
    token = " --secret token" if setting == TOKEN else ""
    ours = f"change it: `ai-agents secrets rotate --tenant {tenant_id}{token}`"
    return ours if setting in (CURRENT, TOKEN) else f"change it: {_RUNBOOK}"


def _about_previous(tenant_id: str, record: Remembered | None, new: Remembered | None) -> str:
    if record is not None and new is not None and record.fingerprint == new.fingerprint:
        return f"same as the current one: run the interrupted `ai-agents secrets rotate --tenant {tenant_id}` again"
    if still_signs(record, new):
        return "the desk still uses it: ask its admin to set the current one"
    if used_lately(record):
        return "wait: used within a day, but not since the current one was added"
    if new is None or new.last_used_at is None:
        return "wait: not used within a day, but the current one is not used yet"
    return f"not used any more: {FINISH.format(tenant=tenant_id)} ends it"


def used_lately(secret: Remembered | None) -> bool:
    if secret is None or secret.last_used_at is None:
        return False
    return secret.read_at - secret.last_used_at < QUIET


def still_signs(old: Remembered | None, new: Remembered | None) -> bool:
    if old is None or old.last_used_at is None or not used_lately(old):
        return False
    return new is None or old.last_used_at > new.first_seen_at


def last_used(secret: Remembered | None) -> str:
    if secret is None or secret.last_used_at is None:
        return "-"
    return f"{age((secret.read_at - secret.last_used_at).total_seconds())} ago"


def _for_people(rows: list[SecretRow]) -> str:
    cells = []
    for row in rows:
        record = row.record
        since = "unknown" if record is None else age((record.read_at - record.first_seen_at).total_seconds())
        uses = str(record.uses) if record is not None and row.setting.endswith(("WEBHOOK_SECRET", TOKEN)) else "-"
        cells.append((row.tenant_id, row.setting, since, last_used(record), uses, row.to_do or "nothing"))
    return table(_HEAD, cells, terminal_width())


def _for_machines(row: SecretRow) -> dict[str, object]:
    record = row.record
    moments = {name: getattr(record, name, None) for name in ("first_seen_at", "last_seen_at", "last_used_at")}
    uses = record.uses if record else 0
    return {"tenant_id": row.tenant_id, "setting": row.setting, **moments, "uses": uses, "to_do": row.to_do}
