"""Each process gets the settings and secrets that it needs, and no others."""

import re
import shutil
from pathlib import Path

import pytest

from config.secrets import not_for_the_api
from config.settings import (
    ApiSettings,
    ConsoleSettings,
    HousekeepingSettings,
    MigrateSettings,
    SettingsError,
    WorkerSettings,
    load,
)
from config.tenant_validation import TenantProblem
from observability.startup import load_with_tenants
from tests.kubernetes.rendering import (
    PROCESSES,
    ROOT,
    WHOLE,
    Change,
    Rendered,
    component,
    mounted,
    sources,
    variables,
    write_mounted,
)

KINDS = (ApiSettings, WorkerSettings, HousekeepingSettings, MigrateSettings, ConsoleSettings)
KNOWN = {name.upper() for kind in KINDS for name in kind.model_fields}
OF_OTHERS = re.compile(r"OTEL_[A-Z_]+|REDISCLI_AUTH")
DOCUMENT = (ROOT / "docs" / "kubernetes.md").read_text(encoding="utf-8")
FOLDER, FILE = "/etc/ai-agents", "authorities.pem"
_STORES = {"ai-agents-secrets": {"DATABASE_URL", "REDIS_PASSWORD"}}
MOUNTED: dict[str, dict[str, set[str]]] = {
    "ai-agents-api": {"ai-agents-secrets": {WHOLE}},
    "ai-agents-worker": {
        "ai-agents-desk-secrets": {WHOLE},
        "ai-agents-model-secrets": {WHOLE},
        "ai-agents-secrets": {"FEEDBACK_KEY"},
    },
    "ai-agents-housekeeping": {"ai-agents-desk-secrets": {WHOLE}, "ai-agents-model-secrets": {"EMBEDDINGS_API_KEY"}},
    "ai-agents-console": {"ai-agents-console-secrets": {WHOLE}},
    "ai-agents-migrate": {},
}


@pytest.fixture
def pod(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, local: Rendered) -> "MountedPod":
    return MountedPod(monkeypatch, tmp_path / "mounted", local)


class MountedPod:
    """This process's environment as that of a container with its secret mounted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path, rendered: Rendered) -> None:
        self._monkeypatch = monkeypatch
        self._folder = folder
        self._rendered = rendered
        names = [secret["metadata"]["name"] for secret in rendered.of("Secret")]
        self.secrets = {name: rendered.secret(name) for name in names if name.startswith("ai-agents-")}

    def enter(self, process: str) -> None:
        for name in [*KNOWN, *(name for key in self.secrets.values() for name in key)]:
            self._monkeypatch.delenv(name, raising=False)
        environment = self._rendered.environment(f"ai-agents-{process}", self.secrets)
        spec = self._rendered.pod(f"ai-agents-{process}")["spec"]
        mounts = {one["name"]: one["mountPath"] for one in spec["containers"][0]["volumeMounts"]}
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir()
        if "secrets" in mounts:
            assert environment["SECRETS_DIR"] == mounts["secrets"]
            assert environment["TENANTS_FILE"] == f"{mounts['secrets']}/tenants.toml"
            environment |= {"SECRETS_DIR": str(self._folder), "TENANTS_FILE": str(self._folder / "tenants.toml")}
            write_mounted(self._rendered, f"ai-agents-{process}", self.secrets, self._folder)
        for name, value in environment.items():
            self._monkeypatch.setenv(name, value)


def _fail(problem: TenantProblem) -> None:
    pytest.fail(problem.sentence)


def test_each_process_starts_with_its_settings(pod: MountedPod) -> None:
    pod.enter("api")
    api, tenants = load_with_tenants(ApiSettings, needs="secret", on_problem=_fail)
    assert api.redis_url == "redis://:local-redis@redis:6379/0"
    assert [(tenant.id, tenant.usable) for tenant in tenants.all()] == [("acme", True)]
    pod.enter("worker")
    one, _ = load_with_tenants(WorkerSettings, needs="desk", on_problem=_fail)
    assert (one.metrics_port, one.log_format) == (9464, "json")
    pod.enter("housekeeping")
    load_with_tenants(HousekeepingSettings, needs="desk", on_problem=_fail)
    pod.enter("migrate")
    assert "ai_agents_owner" in load(MigrateSettings).database_admin_url


def test_a_key_missing_in_the_secret_is_named(pod: MountedPod) -> None:
    """The process names a mounted key, Kubernetes one that a variable refers to."""
    del pod.secrets["ai-agents-model-secrets"]["OPENAI_API_KEY"]
    pod.enter("worker")
    with pytest.raises(SettingsError, match="OPENAI_API_KEY is missing"):
        load_with_tenants(WorkerSettings, needs="desk", on_problem=_fail)


def test_a_pod_whose_key_is_missing_does_not_start(rendered: Rendered) -> None:
    """`kubectl describe` names it. Only keys that few tenants need are optional."""
    optional = [
        source["secret"] for name, _ in rendered.pods() for source in sources(rendered, name) if "secret" in source
    ]
    items = [one["items"] for one in optional if one.get("optional")]
    assert items == [[{"key": "EMBEDDINGS_API_KEY", "path": "EMBEDDINGS_API_KEY"}]]
    assert str([pod["spec"] for _, pod in rendered.pods()]).count("optional") == 1


def test_only_the_migration_has_the_owners_address(rendered: Rendered) -> None:
    for name, pod in rendered.pods():
        has = "DATABASE_ADMIN_URL" in str(pod) or "ai-agents-database-owner" in str(pod)
        assert has is (name == "ai-agents-migrate"), name


def test_each_variable_is_a_setting(rendered: Rendered) -> None:
    for process in PROCESSES:
        container = rendered.container(f"ai-agents-{process}")
        names = {variable["name"] for variable in container["env"]}
        names |= set(rendered.settings()) if "envFrom" in container else set()
        assert {name for name in names if name not in KNOWN and not OF_OTHERS.fullmatch(name)} == set()


def test_secrets_are_mounted_so_that_they_change_at_run_time(rendered: Rendered) -> None:
    """As a directory, readable by the pod's group: a subPath would not be updated."""
    for process in ("api", "worker", "housekeeping"):
        spec = rendered.pod(f"ai-agents-{process}")["spec"]
        (mount,) = [one for one in spec["containers"][0]["volumeMounts"] if one["name"] == "secrets"]
        assert "subPath" not in mount
        assert mount["mountPath"] == rendered.settings()["SECRETS_DIR"]
        (volume,) = [one for one in spec["volumes"] if one["name"] == "secrets"]
        assert volume["projected"]["defaultMode"] == 0o440
        assert spec["securityContext"]["fsGroup"] > 0


def test_redis_cli_needs_no_flag_in_the_api_pod(rendered: Rendered) -> None:
    """`redis-cli -h redis LLEN celery` in the API's container has the password."""
    variables = {one["name"]: one for one in rendered.container("ai-agents-api")["env"]}
    assert variables["REDISCLI_AUTH"]["valueFrom"]["secretKeyRef"]["key"] == "REDIS_PASSWORD"
    assert variables["REDIS_URL"]["value"].endswith("@redis:6379/0")


@pytest.fixture
def everything(changed: Change) -> Rendered:
    """Render the production overlay with all optional parts."""
    return changed(kustomization=[component("feedback"), component("console")])


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


def test_the_laptops_secrets_are_separate_too(local: Rendered) -> None:
    """The API's pod, which faces the Internet, would get another process's secret."""
    assert not_for_the_api(local.secret("ai-agents-secrets")) == []
    assert not_for_the_api(local.one("ConfigMap", "ai-agents-tenants")["data"]) == []
    assert set(not_for_the_api(local.secret("ai-agents-desk-secrets"))) == {"SERVICEDESK_API_KEY_ACME"}
    assert set(not_for_the_api(local.secret("ai-agents-model-secrets"))) == {"OPENAI_API_KEY"}


def test_each_process_has_the_documented_certificate_authorities(production: Rendered) -> None:
    (config,) = [one for one in production.of("ConfigMap") if FILE in one.get("data", {})]
    assert config["metadata"]["labels"]["app"] == "ai-agents-migrate"
    for process in PROCESSES:
        spec = production.pod(f"ai-agents-{process}")["spec"]
        (volume,) = [one for one in spec["volumes"] if one.get("configMap") == {"name": config["metadata"]["name"]}]
        mount = {"name": volume["name"], "mountPath": FOLDER, "readOnly": True}
        assert mount in spec["containers"][0]["volumeMounts"]
    addresses = re.findall(r"^ *(?:echo \")?(DATABASE_\w*URL)=\S*\?(\S+?)\"?(?: >.*)?$", DOCUMENT, re.MULTILINE)
    assert {name for name, _ in addresses} == {"DATABASE_URL", "DATABASE_ADMIN_URL"}
    assert {options for _, options in addresses} == {f"sslmode=verify-full&sslrootcert={FOLDER}/{FILE}"}
    assert "sslmode=require" not in DOCUMENT
