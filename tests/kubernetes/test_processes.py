"""Each process gets the settings that it needs, and the time that its end takes."""

import re
import shutil
from pathlib import Path

import pytest

import observability.readiness
import observability.watchdog
from config.settings import (
    ApiSettings,
    HousekeepingSettings,
    LogSettings,
    MigrateSettings,
    SettingsRefused,
    WorkerSettings,
    load,
)
from config.startup import load_with_tenants
from config.tenants import TENANT_SETTINGS, TenantProblem
from support.cli import main
from tests.kubernetes.rendering import PROCESSES, ROOT, Rendered

SETTINGS: dict[str, type[LogSettings]] = {
    "api": ApiSettings,
    "worker": WorkerSettings,
    "housekeeping": HousekeepingSettings,
    "migrate": MigrateSettings,
}
KNOWN = {name.upper() for kind in SETTINGS.values() for name in kind.model_fields}
OF_OTHERS = re.compile(r"OTEL_[A-Z_]+|REDISCLI_AUTH")
DOCUMENT = (ROOT / "docs" / "kubernetes.md").read_text(encoding="utf-8")
_UVICORN_SECONDS = 20
"""`timeout_graceful_shutdown` in support/cli.py."""
_CLOSING_SECONDS = 15
"""For handing jobs back and closing: worker/resources.py bounds it at twice 5 s."""


def secrets_of(local: Rendered) -> dict[str, dict[str, str]]:
    return {name: local.secret(name) for name in ("ai-agents-secrets", "ai-agents-database-owner")}


@pytest.fixture
def pod(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, local: Rendered) -> "Pod":
    return Pod(monkeypatch, tmp_path / "mounted", local)


class Pod:
    """This process's environment made that of a container, with its secret mounted."""

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
        volumes = {one["name"]: one for one in spec["volumes"] if "secret" in one}
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir()
        for name, volume in volumes.items():
            assert environment["SECRETS_DIR"] == mounts[name]
            environment["SECRETS_DIR"] = str(self._folder)
            for key, value in self.secrets[volume["secret"]["secretName"]].items():
                (self._folder / key).write_text(value, encoding="utf-8")
        for name, value in environment.items():
            self._monkeypatch.setenv(name, value)


def _fail(problem: TenantProblem) -> None:
    pytest.fail(problem.sentence)


def test_each_process_starts_with_what_it_is_given(pod: Pod) -> None:
    """Read by the code that reads them when it runs."""
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


def test_a_key_that_is_missing_in_the_secret_is_named(pod: Pod) -> None:
    """By the process, where the pod itself can start; by Kubernetes, where a variable refers to the key."""
    del pod.secrets["ai-agents-secrets"]["OPENAI_API_KEY"]
    pod.enter("worker")
    with pytest.raises(SettingsRefused, match="OPENAI_API_KEY is missing"):
        load_with_tenants(WorkerSettings, needs="desk", on_problem=_fail)


def test_a_pod_whose_key_is_missing_does_not_start(rendered: Rendered) -> None:
    """No reference is optional: `kubectl describe` then names the secret or the key."""
    assert "optional" not in str([pod["spec"] for _, pod in rendered.pods()])


def test_only_the_migration_has_the_owners_address(rendered: Rendered) -> None:
    for name, pod in rendered.pods():
        has = "DATABASE_ADMIN_URL" in str(pod) or "ai-agents-database-owner" in str(pod)
        assert has is (name == "ai-agents-migrate"), name


def test_each_variable_is_a_setting(rendered: Rendered) -> None:
    """Of ours by name, of OpenTelemetry or of redis-cli."""
    for process in PROCESSES:
        container = rendered.container(f"ai-agents-{process}")
        names = {variable["name"] for variable in container["env"]}
        names |= set(rendered.settings()) if "envFrom" in container else set()
        assert {name for name in names if name not in KNOWN and not OF_OTHERS.fullmatch(name)} == set()


def test_each_key_of_a_secret_is_in_the_document(rendered: Rendered) -> None:
    """Those that variables refer to, those that the laptop's secret has, and each setting of a tenant."""
    table = set(re.findall(r"^\| `([A-Z_]+(?:<TENANT>)?)` \|", DOCUMENT, re.MULTILINE))
    referred = {
        variable["valueFrom"]["secretKeyRef"]["key"]
        for _, pod in rendered.pods()
        for variable in pod["spec"]["containers"][0].get("env", [])
        if "valueFrom" in variable
    }
    assert referred <= table
    for secret in rendered.of("Secret"):
        if secret["metadata"]["name"].startswith("ai-agents-"):
            for key in secret["data"]:
                prefix = next((one for one in TENANT_SETTINGS if key.startswith(one)), None)
                assert (f"{prefix}<TENANT>" if prefix else key) in table
    assert all(key in KNOWN | {"REDIS_PASSWORD"} or key.removesuffix("<TENANT>") in TENANT_SETTINGS for key in table)


def test_each_container_runs_a_verb_of_ours(rendered: Rendered, capsys: pytest.CaptureFixture[str]) -> None:
    """The image's entry point is the command; `args` leaves it in place, and with it who passes signals on."""
    for process in PROCESSES:
        container = rendered.container(f"ai-agents-{process}")
        assert "command" not in container
        assert container["args"][0] == process
        with pytest.raises(SystemExit, match=r"^0$"):
            main([*container["args"], "--help"])
    capsys.readouterr()


def test_the_ports_are_those_that_the_processes_listen_on(rendered: Rendered) -> None:
    api = rendered.container("ai-agents-api")
    ports = {port["name"]: port["containerPort"] for port in api["ports"]}
    probes = int(rendered.settings()["API_PROBE_PORT"])
    assert ports == {"http": int(api["args"][api["args"].index("--port") + 1]), "metrics": probes}
    for process in ("worker", "housekeeping"):
        given = [port["containerPort"] for port in rendered.container(f"ai-agents-{process}")["ports"]]
        assert given == [int(rendered.settings()["METRICS_PORT"])]


def test_a_pod_has_longer_than_its_end_takes(rendered: Rendered) -> None:
    """What runs over is killed. That loses no job, but each waits for its lease to run out."""
    settings = rendered.settings()
    working = rendered.pod("ai-agents-worker")["spec"]
    assert "preStop" not in working["containers"][0].get("lifecycle", {})
    grace = float(settings["WORKER_GRACE_SECONDS"])
    assert working["terminationGracePeriodSeconds"] >= grace + _CLOSING_SECONDS
    api = rendered.pod("ai-agents-api")["spec"]
    pause = api["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pause >= 5
    assert f"timeout_graceful_shutdown={_UVICORN_SECONDS}," in (ROOT / "support" / "cli.py").read_text()
    assert api["terminationGracePeriodSeconds"] >= pause + _UVICORN_SECONDS + _CLOSING_SECONDS


def test_a_rollout_takes_nothing_away_before_its_replacement_is_there(rendered: Rendered) -> None:
    for process in ("api", "worker"):
        deployment = rendered.one("Deployment", f"ai-agents-{process}")
        rolling = deployment["spec"]["strategy"]["rollingUpdate"]
        assert (rolling["maxUnavailable"], rolling["maxSurge"]) == (0, 1)
        # There is when it is ready: a pod without that probe is, whatever it reaches.
        assert "readinessProbe" in rendered.container(f"ai-agents-{process}")


def test_probes_ask_what_the_processes_answer(rendered: Rendered) -> None:
    """Ready by the stores, alive by the process itself: an outage of a store restarts nobody."""
    api = rendered.container("ai-agents-api")
    # Where no flood of webhooks gets at them.
    assert api["readinessProbe"]["httpGet"] == {"path": "/health/ready", "port": "metrics"}
    for alive in ("livenessProbe", "startupProbe"):
        assert api[alive]["httpGet"] == {"path": "/health/live", "port": "metrics"}
    # /health/ready gives each store 1.5 s, /ready of a worker its busy loop one more.
    assert api["readinessProbe"]["timeoutSeconds"] > 1.5
    for process in ("worker", "housekeeping"):
        container = rendered.container(f"ai-agents-{process}")
        assert container["readinessProbe"]["httpGet"] == {"path": "/ready", "port": "metrics"}
        assert container["readinessProbe"]["timeoutSeconds"] > observability.readiness.LOOP_SECONDS
        for alive in ("livenessProbe", "startupProbe"):
            assert container[alive]["httpGet"]["path"] == "/metrics"
    for process in ("api", "worker", "housekeeping"):
        container = rendered.container(f"ai-agents-{process}")
        probe, start = container["livenessProbe"], container["startupProbe"]
        # A process that stands still because its machine does must have the time to come back.
        assert probe["failureThreshold"] * probe["periodSeconds"] >= 60
        assert start["failureThreshold"] * start["periodSeconds"] >= 60


def test_a_worker_notices_that_it_is_stuck_before_its_probe_would(production: Rendered) -> None:
    """So the reason is in the log, and running jobs have their grace."""
    assert observability.watchdog.__doc__ is not None
    probe = production.container("ai-agents-worker")["livenessProbe"]
    stuck = WorkerSettings.model_fields["worker_stuck_seconds"].default
    assert probe["failureThreshold"] * probe["periodSeconds"] > stuck * 1.2


def test_secrets_are_mounted_so_that_they_change_while_a_process_runs(rendered: Rendered) -> None:
    """As a directory: a subPath would stay as it was. Readable by the pod's group."""
    for process in ("api", "worker", "housekeeping"):
        spec = rendered.pod(f"ai-agents-{process}")["spec"]
        (mount,) = [one for one in spec["containers"][0]["volumeMounts"] if one["name"] == "secrets"]
        assert "subPath" not in mount
        assert mount["mountPath"] == rendered.settings()["SECRETS_DIR"]
        (volume,) = [one for one in spec["volumes"] if one["name"] == "secrets"]
        assert volume["secret"] == {"secretName": "ai-agents-secrets", "defaultMode": 0o440}
        assert spec["securityContext"]["fsGroup"] > 0


def test_the_user_is_the_images(rendered: Rendered) -> None:
    dockerfile = ROOT / "Dockerfile"
    if not dockerfile.is_file():
        pytest.skip("there is no Dockerfile yet")
    (user,) = re.findall(r"^USER (\d+)", dockerfile.read_text(encoding="utf-8"), re.MULTILINE)
    for process in PROCESSES:
        assert rendered.pod(f"ai-agents-{process}")["spec"]["securityContext"]["runAsUser"] == int(user)


def test_redis_keeps_what_it_is_given(rendered: Rendered) -> None:
    """On disk, throwing nothing away, behind a password, with room to rewrite its file."""
    config = rendered.one("ConfigMap", "redis")["data"]["redis.conf"]
    lines = dict(line.split(" ", 1) for line in config.splitlines() if line and not line.startswith("#"))
    assert (lines["appendonly"], lines["maxmemory-policy"], lines["dir"]) == ("yes", "noeviction", "/data")
    container = rendered.container("redis")
    assert container["command"][-1].splitlines() == [
        "exec redis-server - <<END",
        "include /usr/local/etc/redis/redis.conf",
        "requirepass $REDISCLI_AUTH",
        "END",
    ]
    limit, most = container["resources"]["limits"]["memory"], lines["maxmemory"]
    assert int(limit.removesuffix("Mi")) >= 2 * int(most.removesuffix("mb"))
    (claim,) = rendered.one("StatefulSet", "redis")["spec"]["volumeClaimTemplates"]
    assert {"name": claim["metadata"]["name"], "mountPath": "/data"} in container["volumeMounts"]


def test_support_finds_redis_without_a_flag(rendered: Rendered) -> None:
    """`redis-cli -h redis LLEN celery` in the API's container: it has the password, and asks database 0."""
    variables = {one["name"]: one for one in rendered.container("ai-agents-api")["env"]}
    assert variables["REDISCLI_AUTH"]["valueFrom"]["secretKeyRef"]["key"] == "REDIS_PASSWORD"
    assert variables["REDIS_URL"]["value"].endswith("@redis:6379/0")


def test_the_migration_gives_up_only_where_trying_again_is_no_use(rendered: Rendered) -> None:
    """Exit 78 of `ai-agents migrate` means mend something, 75 try again."""
    job = rendered.one("Job", "ai-agents-migrate")["spec"]
    (rule,) = job["podFailurePolicy"]["rules"]
    assert (rule["action"], rule["onExitCodes"]["values"]) == ("FailJob", [78])
    assert rule["onExitCodes"]["containerName"] == rendered.container("ai-agents-migrate")["name"]
    assert job["template"]["spec"]["restartPolicy"] == "Never"
