"""Commands of the first pages exist; those that need no servers run here."""

import re
import shutil
import subprocess
from pathlib import Path

import psycopg

from cli.pilot.postgres import Postgres
from config.settings import ApiSettings, HousekeepingSettings, MigrateSettings, WorkerSettings
from config.tenant_validation import parse_tenants
from config.tenants import TENANTS_TOML
from tests.docs.documents import ROOT, MarkdownFile, first_page_blocks

SHELL = first_page_blocks("sh")
# Blocks that tests/system/test_by_hand.py runs on a running system.
SETTINGS = {
    name.upper()
    for settings in (ApiSettings, WorkerSettings, HousekeepingSettings, MigrateSettings)
    for name in settings.model_fields
}

OTHERS = {"OTEL_EXPORTER_OTLP_ENDPOINT", TENANTS_TOML}


def exports(block: str) -> dict[str, str]:
    """Return the settings that a block of `export` lines makes."""
    found = dict(re.findall(r"^export ([A-Z0-9_]+)=(.*)$", block, re.MULTILINE))
    file = re.findall(r"^cat >tenants\.toml <<'END'\n(.*?)^END$", block, re.MULTILINE | re.DOTALL)
    return found | ({TENANTS_TOML: file[0]} if file else {})


def test_each_exported_setting_exists_and_makes_usable_tenants() -> None:
    desks = 0
    for block in SHELL:
        values = exports(block)
        tenants, problems = parse_tenants(values)
        assert problems == []
        for name in values:
            assert name.endswith("_ACME") or name in SETTINGS or name in OTHERS, name
        desks += sum(tenant.desk is not None for tenant in tenants.values())
    assert desks == 2


def test_the_file_for_containers_has_what_the_pilot_needs(tmp_path: Path) -> None:
    (block,) = (each for each in MarkdownFile(ROOT / "docs/containers.md").blocks("sh") if "env.example" in each.text)
    shutil.copytree(ROOT / "compose", tmp_path / "compose")
    subprocess.run(["bash", "-e"], input=block.text, cwd=tmp_path, text=True, check=True)
    written = re.findall(r"^(\w+)=.", (tmp_path / ".env").read_text(encoding="utf-8"), re.MULTILINE)
    needed = re.findall(r"\$\{(\w+):?\?", (ROOT / "compose.pilot.yml").read_text(encoding="utf-8"))
    assert sorted(written) == sorted(needed)
    tenants, problems = parse_tenants(
        {
            "SERVICEDESK_URL_DESK": "https://servicedesk.contoso.example",
            "SERVICEDESK_API_KEY_DESK": "the-key",
            TENANTS_TOML: (ROOT / "compose" / "pilot" / "tenants.toml").read_text(encoding="utf-8"),
        }
    )
    assert problems == []
    assert tenants["desk"].polled
    assert tenants["desk"].dry_run


def test_the_sql_makes_roles_that_the_system_accepts(server: Postgres) -> None:
    (statements,) = first_page_blocks("sql")
    renamed = re.sub(r"\bai_agents", "readme_agents", statements)
    with psycopg.connect(server.superuser_url, autocommit=True) as connection:
        for statement in renamed.strip().split(";\n"):
            connection.execute(statement.rstrip(";"))
        row = connection.execute(
            "SELECT rolsuper, rolbypassrls, rolcanlogin FROM pg_roles WHERE rolname = 'readme_agents'"
        ).fetchone()
    assert row == (False, False, True)
