"""Each pod mounts the secrets that its process uses, and no others."""

import base64
import json
import subprocess
import sys
from pathlib import Path

import pytest

from config.console_access import ACCESS_SETTINGS
from config.own_secrets import not_for_the_api
from config.tenant_settings import DESK_KEYS, REMOVED, SECRETS, TENANT_SETTINGS
from tests.kubernetes.mounts import WHOLE, mounted, sources, variables
from tests.kubernetes.rendering import K8S, Change, Rendered

_STORES = {"ai-agents-secrets": {"DATABASE_URL", "REDIS_PASSWORD"}}
MOUNTED: dict[str, dict[str, set[str]]] = {
    "ai-agents-api": {"ai-agents-secrets": {WHOLE}},
    "ai-agents-worker": {
        "ai-agents-desk-secrets": {WHOLE},
        "ai-agents-model-secrets": {WHOLE},
        "ai-agents-secrets": {"FEEDBACK_KEY"},
    },
    "ai-agents-housekeeping": {
        "ai-agents-desk-secrets": {WHOLE},
        "ai-agents-model-secrets": {"EMBEDDINGS_API_KEY"},
    },
    "ai-agents-console": {"ai-agents-console-secrets": {WHOLE}},
    "ai-agents-migrate": {},
}


@pytest.fixture
def everything(changed: Change) -> Rendered:
    """Render the production overlay with all optional parts."""
    lines = [f"  # - ../../components/{name}\n" for name in ("feedback", "console")]
    return changed(kustomization=[(line, line.replace("# ", "")) for line in lines])


def test_each_pod_mounts_what_its_process_uses(everything: Rendered) -> None:
    assert {name: mounted(everything, name) for name in MOUNTED} == MOUNTED
    for name in MOUNTED.keys() - {"ai-agents-migrate"}:
        assert variables(everything, name) == _STORES
        maps = [source["configMap"] for source in sources(everything, name) if "configMap" in source]
        assert maps == [{"name": "ai-agents-tenants"}]
    others = dict(everything.pods()).keys() - MOUNTED.keys()
    assert [name for name in others if mounted(everything, name)] == []


def test_without_feedback_a_worker_has_no_secret_of_the_api(production: Rendered) -> None:
    assert set(mounted(production, "ai-agents-worker")) == {"ai-agents-desk-secrets", "ai-agents-model-secrets"}


def test_the_laptops_secrets_are_kept_apart_too(local: Rendered) -> None:
    """The API's pod, which faces the Internet, would get another process's secret."""
    assert not_for_the_api(local.secret("ai-agents-secrets")) == []
    assert not_for_the_api(local.one("ConfigMap", "ai-agents-tenants")["data"]) == []
    assert set(not_for_the_api(local.secret("ai-agents-desk-secrets"))) == {"SERVICEDESK_API_KEY_ACME"}
    assert set(not_for_the_api(local.secret("ai-agents-model-secrets"))) == {"OPENAI_API_KEY"}


def test_the_secret_of_an_earlier_release_is_split_without_a_loss(tmp_path: Path) -> None:
    """Pods mount the keys that they read; other settings go into the shared map."""
    of_tenants = {prefix.rstrip("_") for prefix in TENANT_SETTINGS} | (REMOVED.keys() - {"SERVICEDESK_CLIENT_ID"})
    kept = {"DATABASE_URL", "REDIS_PASSWORD", "FEEDBACK_KEY", "RETIRED_WEBHOOK_SECRET_ACME"}
    kept |= {f"{name}_ACME" for name in SECRETS if "WEBHOOK" in name}
    desks = {*(f"{name}_ACME" for name in (*DESK_KEYS, "SERVICEDESK_CLIENT_ID")), "HTTPS_PROXY"}
    models = {"OPENAI_API_KEY_ACME", "OPENAI_API_KEY", "OPENAI_FALLBACK_API_KEY", "EMBEDDINGS_API_KEY"}
    console = {"CONSOLE_KEY", "HTTPS_PROXY", *(name.replace("<NAME>", "ANNA") for name in ACCESS_SETTINGS)}
    plain = {f"{name}_ACME" for name in of_tenants} - kept - desks - models
    given = {
        key: base64.b64encode(f"{key}\nvalue".encode()).decode() for key in kept | desks | models | console | plain
    }
    command = [sys.executable, str(K8S / "split_secrets.py")]
    subprocess.run(command, input=json.dumps({"data": given}), text=True, cwd=tmp_path, check=True)
    made = {one["metadata"]["name"]: one for one in json.loads((tmp_path / "split.json").read_text())["items"]}
    wanted = {"desk-secrets": desks, "model-secrets": models, "console-secrets": console}
    for name, keys in wanted.items():
        assert made[f"ai-agents-{name}"]["data"] == {key: given[key] for key in keys}
    assert made["ai-agents-tenants"]["data"] == {
        **{key: f"{key}\nvalue" for key in plain},
        "tenants.toml": "# See docs/settings.md.\n",
    }
    removed = json.loads((tmp_path / "moved.json").read_text())["data"]
    assert given.keys() - removed.keys() == kept
    assert set(removed.values()) == {None}
    assert not_for_the_api(kept) == []
    assert {path.stat().st_mode & 0o077 for path in tmp_path.iterdir()} == {0}
