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


def test_the_files_for_containers_make_a_polled_tenant(tmp_path: Path) -> None:
    (files,) = (block for block in MarkdownFile(ROOT / "docs/containers.md").blocks("sh") if "<<'END'" in block.text)
    shutil.copytree(ROOT / "compose", tmp_path / "compose")
    subprocess.run(["bash", "-e"], input=files.text, cwd=tmp_path, text=True, check=True)
    written = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.glob(".env*")}
    values = {name: dict(re.findall(r"^(\w+)='?(.*?)'?$", text, re.MULTILINE)) for name, text in written.items()}
    tenants, problems = parse_tenants(
        values[".env.settings"]
        | values[".env.desks"]
        | {TENANTS_TOML: (tmp_path / "compose" / "tenants.toml").read_text(encoding="utf-8")}
    )
    assert problems == []
    assert tenants["contoso"].polled
    assert tenants["contoso"].desk is not None
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    assert [name for name in values[".env"] if f"\n{name}=" not in example] == []
    assert [name for name in values[".env.settings"] if not name.endswith("_CONTOSO") and name not in SETTINGS] == []


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
