"""`ai-agents secrets status`: a row per secret with its action, never its value."""

import asyncio
import json
from datetime import timedelta
from pathlib import Path

import pytest

from cli.pilot.postgres import Postgres
from cli.secrets.status import to_do
from db.session import Database
from privacy import secret_fingerprints
from privacy.secret_fingerprints import CURRENT, PREVIOUS, RETIRED, TOKEN, Remembered, seen
from tests.jobs.diagnosis.known import NOW, ago
from tests.kit.postgres import Table
from tests.system.by_hand import Answer, here

SETTINGS = {
    "WEBHOOK_SECRET_ACME": "the current 0ne",
    "PREVIOUS_WEBHOOK_SECRET_ACME": "the previ0us one",
    "SERVICEDESK_API_KEY_ACME": "a desk's k3y",
    "SERVICEDESK_URL_ACME": "nowhere",
    "WEBHOOK_TOKEN_GLOBEX": "gl0bex" * 6,
    "OPENAI_API_KEY": "the m0del's key",
}

pytestmark = pytest.mark.usefixtures("untouched_logging", "table")


async def asked(url: str, *words: str, **settings: str) -> Answer:
    """Run it beside a running event loop."""
    return await asyncio.to_thread(here, "secrets", "status", *words, DATABASE_URL=url, **settings)


def known(setting: str, days: float, used_hours: float | None = None) -> Remembered:
    used = None if used_hours is None else ago(used_hours * 3600)
    return Remembered(setting, setting.encode(), ago(days * 86400), NOW, used, NOW, 1)


@pytest.mark.parametrize(
    ("setting", "days", "used_hours", "is_open", "says"),
    [
        (CURRENT, 10, 1, False, ""),
        (CURRENT, 90, 1, False, "change it: `ai-agents secrets rotate --tenant acme`"),
        (CURRENT, 1, None, True, "not used yet: ask the desk's admin to set it"),
        (CURRENT, 3, 50, True, ""),
        (PREVIOUS, 100, 11, True, "the desk still uses it: ask its admin to set the current one"),
        (PREVIOUS, 100, 13, True, "wait: used within a day, but not since the current one was added"),
        (PREVIOUS, 100, 25, True, "not used any more: `ai-agents secrets rotate --tenant acme --finish` ends it"),
        (RETIRED, 100, 1, False, "the desk still uses it and is refused: ask its admin to set the current one"),
        (RETIRED, 100, None, False, ""),
        (TOKEN, 91, 1, False, "change it: `ai-agents secrets rotate --tenant acme --secret token`"),
        ("SERVICEDESK_API_KEY", 89, None, False, ""),
        ("SERVICEDESK_API_KEY", 91, None, False, "change it: docs/runbooks/secret-rotation.md"),
    ],
)
def test_a_row_names_the_next_step(
    setting: str, days: float, used_hours: float | None, is_open: bool, says: str
) -> None:
    both = {CURRENT: known(CURRENT, 0.5, 1), PREVIOUS: known(PREVIOUS, 9)} if is_open else {}
    assert to_do("acme", setting, {**both, setting: known(setting, days, used_hours)}) == says
    # The old one is not to be ended before somebody signs with the new one: `--finish` would refuse.
    both = {CURRENT: known(CURRENT, 2), PREVIOUS: known(PREVIOUS, 9)}
    assert to_do("acme", PREVIOUS, both) == "wait: not used within a day, but the current one is not used yet"


async def test_a_stopped_rotation_has_no_old_secret(server: Postgres, database: Database, tmp_path: Path) -> None:
    """The desk signs with the current one, which is in both files."""
    for name in (CURRENT, PREVIOUS):
        (tmp_path / f"{name}_ACME").write_text("the 0ne", encoding="utf-8")
    await secret_fingerprints.record(database, [seen("acme", CURRENT, "the 0ne", uses=1)])
    answer = await asked(server.url, "--json", SECRETS_DIR=str(tmp_path))
    (said,) = [row["to_do"] for row in json.loads(answer.stdout) if row["setting"] == PREVIOUS]
    assert said == "same as the current one: run the interrupted `ai-agents secrets rotate --tenant acme` again"


async def test_a_secret_that_nobody_can_read_is_told_of(server: Postgres, tmp_path: Path) -> None:
    (tmp_path / "WEBHOOK_SECRET_ACME").write_bytes(b"\xff\xfe")
    (tmp_path / "WEBHOOK_TOKEN_ACME").write_text("t0ken" * 8, encoding="utf-8")
    answer = await asked(server.url, SECRETS_DIR=str(tmp_path))
    assert answer.returncode == 0
    assert answer.stderr == "WEBHOOK_SECRET_ACME: its file can't be read as text\n"


async def test_each_secret_that_is_set_here_has_its_row(server: Postgres, database: Database, table: Table) -> None:
    await secret_fingerprints.record(database, [seen("acme", CURRENT, SETTINGS["WEBHOOK_SECRET_ACME"], uses=7)])
    table.run("UPDATE known_secrets SET first_seen_at = first_seen_at - %s", timedelta(days=3))
    answer = await asked(server.url, **SETTINGS)
    assert answer.returncode == 0, answer.stderr
    rows = [line.split(maxsplit=5) for line in answer.stdout.splitlines()[1:]]
    of_acme = {("acme", setting) for setting in (CURRENT, PREVIOUS, "SERVICEDESK_API_KEY")}
    others = {("(process)", "OPENAI_API_KEY"), ("globex", TOKEN)}
    assert (len(rows), {(tenant, setting) for tenant, setting, *_ in rows}) == (5, of_acme | others)
    assert next(row[2:5] for row in rows if row[1] == CURRENT) == ["3d", "0s", "ago"]
    assert all(row[2] == "unknown" for row in rows if row[1] != CURRENT)
    assert not any(secret[:8] in answer.stdout + answer.stderr for secret in SETTINGS.values() if secret != "nowhere")


async def test_without_settings_here_it_tells_what_processes_told(server: Postgres, database: Database) -> None:
    await secret_fingerprints.record(
        database, [seen("acme", CURRENT, "x", uses=1), seen("acme", PREVIOUS, "y", uses=2)]
    )
    answer = await asked(server.url, "--tenant", "acme", "--json")
    assert {row["setting"]: row["uses"] for row in json.loads(answer.stdout)} == {CURRENT: 1, PREVIOUS: 2}
    assert "No secret of acme is set here. The table shows reports of processes within two hours;" in answer.stderr
    for words in ([], ["--tenant", "hooli"]):
        nothing = await asked(server.url, *words)
        assert (nothing.returncode, nothing.stdout) == (2, "")
        assert "is set here" in nothing.stderr


async def test_secrets_of_other_processes_are_listed(server: Postgres, database: Database) -> None:
    """The console's token has no setting in a pod of the API."""
    await secret_fingerprints.record(
        database, [seen("", "CONSOLE_TOKEN_ANNA", "hers"), seen("", "OPENAI_API_KEY", "another")]
    )
    rows = json.loads((await asked(server.url, "--json", **SETTINGS)).stdout)
    of_processes = {row["setting"]: row["first_seen_at"] for row in rows if row["tenant_id"] == "(process)"}
    assert of_processes.keys() == {"CONSOLE_TOKEN_ANNA", "OPENAI_API_KEY"}
    assert of_processes["CONSOLE_TOKEN_ANNA"]
    assert of_processes["OPENAI_API_KEY"] is None  # set here, reported by no process
    alone = await asked(server.url)
    assert alone.stderr == "No tenant's secret is set here. With --tenant, reports of processes are shown.\n"
    assert (alone.returncode, "CONSOLE_TOKEN_ANNA" in alone.stdout) == (0, True)


def test_a_key_that_is_kept_is_taken_out_in_time() -> None:
    for process, in_time, late in (("CONSOLE", 0.9, 1.1), ("FEEDBACK", 89, 91)):
        before, current = f"{process}_PREVIOUS_KEY", f"{process}_KEY"
        for days, says in ((in_time, ""), (late, "remove it: docs/runbooks/secret-rotation.md")):
            all_known = {before: known(before, 100), current: known(current, days)}
            assert to_do("(process)", before, all_known) == says


async def test_without_its_database_it_is_to_be_tried_again() -> None:
    assert (await asked("postgresql://u:p@127.0.0.1:1/x", **SETTINGS)).returncode == 75
