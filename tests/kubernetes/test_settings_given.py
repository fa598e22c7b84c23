"""Each process gets the settings and secrets that it needs, and no others."""

import re
import shutil
from pathlib import Path

import pytest

from config.settings import (
    ApiSettings,
    ConsoleSettings,
    HousekeepingSettings,
    LogSettings,
    MigrateSettings,
    SettingsRefused,
    WorkerSettings,
    load,
)
from config.tenant_directory import TenantProblem, load_with_tenants
from tests.kubernetes.rendering import PROCESSES, ROOT, Rendered, sources, write_mounted

SETTINGS: dict[str, type[LogSettings]] = {
    "api": ApiSettings,
    "worker": WorkerSettings,
    "housekeeping": HousekeepingSettings,
    "migrate": MigrateSettings,
}
_KINDS: list[type[LogSettings]] = [*SETTINGS.values(), ConsoleSettings]
KNOWN = {name.upper() for kind in _KINDS for name in kind.model_fields}
OF_OTHERS = re.compile(r"OTEL_[A-Z_]+|REDISCLI_AUTH")
DOCUMENT = (ROOT / "docs" / "kubernetes.md").read_text(encoding="utf-8")


def secrets_of(local: Rendered) -> dict[str, dict[str, str]]:
    names = [secret["metadata"]["name"] for secret in local.of("Secret")]
    return {name: local.secret(name) for name in names if name.startswith("ai-agents-")}


@pytest.fixture
def pod(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, local: Rendered) -> "MountedPod":
    return MountedPod(monkeypatch, tmp_path / "mounted", local)


class MountedPod:
    """This process's environment as that of a container with its secret mounted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path, rendered: Rendered) -> None:
        self._monkeypatch = monkeypatch
        self._folder = folder
        self._rendered = rendered
        self.secrets = secrets_of(rendered)

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


def test_each_process_starts_with_what_it_is_given(pod: MountedPod) -> None:
    """Read by the code that reads them at run time."""
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


def test_a_key_that_is_missing_in_the_secret_is_named(pod: MountedPod) -> None:
    """The process names a mounted key, Kubernetes one that a variable refers to."""
    del pod.secrets["ai-agents-model-secrets"]["OPENAI_API_KEY"]
    pod.enter("worker")
    with pytest.raises(SettingsRefused, match="OPENAI_API_KEY is missing"):
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
    """Ours, or one of OpenTelemetry or redis-cli."""
    for process in PROCESSES:
        container = rendered.container(f"ai-agents-{process}")
        names = {variable["name"] for variable in container["env"]}
        names |= set(rendered.settings()) if "envFrom" in container else set()
        assert {name for name in names if name not in KNOWN and not OF_OTHERS.fullmatch(name)} == set()


def test_secrets_are_mounted_so_that_they_change_while_a_process_runs(rendered: Rendered) -> None:
    """As a directory, readable by the pod's group: a subPath would not be updated."""
    for process in ("api", "worker", "housekeeping"):
        spec = rendered.pod(f"ai-agents-{process}")["spec"]
        (mount,) = [one for one in spec["containers"][0]["volumeMounts"] if one["name"] == "secrets"]
        assert "subPath" not in mount
        assert mount["mountPath"] == rendered.settings()["SECRETS_DIR"]
        (volume,) = [one for one in spec["volumes"] if one["name"] == "secrets"]
        assert volume["projected"]["defaultMode"] == 0o440
        assert spec["securityContext"]["fsGroup"] > 0


def test_support_finds_redis_without_a_flag(rendered: Rendered) -> None:
    """`redis-cli -h redis LLEN celery` in the API's container has the password."""
    variables = {one["name"]: one for one in rendered.container("ai-agents-api")["env"]}
    assert variables["REDISCLI_AUTH"]["valueFrom"]["secretKeyRef"]["key"] == "REDIS_PASSWORD"
    assert variables["REDIS_URL"]["value"].endswith("@redis:6379/0")
