"""Commands, probes and stop times of each process."""

import pytest

import observability.health
from cli.main import main
from config.settings import ApiSettings, WorkerSettings
from tests.kubernetes.rendering import PROCESSES, ROOT, Rendered

_UVICORN_SECONDS = 20
"""`timeout_graceful_shutdown` in cli/main.py."""
_CLOSING_SECONDS = 15
"""For handing jobs back and closing: worker/runtime.py bounds it at twice 5 s."""


def test_each_container_runs_a_verb_of_ai_agents(rendered: Rendered, capsys: pytest.CaptureFixture[str]) -> None:
    """`args` keeps the image's entry point, which passes signals on."""
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
    http = int(api["args"][api["args"].index("--port") + 1])
    feedback = ApiSettings.model_fields["feedback_port"].default
    assert ports == {"http": http, "metrics": probes, "feedback": feedback}
    for process in ("worker", "housekeeping"):
        given = [port["containerPort"] for port in rendered.container(f"ai-agents-{process}")["ports"]]
        assert given == [int(rendered.settings()["METRICS_PORT"])]


def test_a_pods_grace_period_is_longer_than_its_shutdown(rendered: Rendered) -> None:
    """A killed process loses no job, but each waits for its lease to expire."""
    settings = rendered.settings()
    working = rendered.pod("ai-agents-worker")["spec"]
    assert "preStop" not in working["containers"][0].get("lifecycle", {})
    grace = float(settings["WORKER_GRACE_SECONDS"])
    assert working["terminationGracePeriodSeconds"] >= grace + _CLOSING_SECONDS
    api = rendered.pod("ai-agents-api")["spec"]
    pause = api["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pause >= 5
    assert f"timeout_graceful_shutdown={_UVICORN_SECONDS}," in (ROOT / "cli" / "main.py").read_text()
    assert api["terminationGracePeriodSeconds"] >= pause + _UVICORN_SECONDS + _CLOSING_SECONDS


def test_a_rollout_takes_nothing_away_before_its_replacement_is_there(rendered: Rendered) -> None:
    for process in ("api", "worker"):
        deployment = rendered.one("Deployment", f"ai-agents-{process}")
        rolling = deployment["spec"]["strategy"]["rollingUpdate"]
        assert (rolling["maxUnavailable"], rolling["maxSurge"]) == (0, 1)
        # A pod without a readiness probe is always ready.
        assert "readinessProbe" in rendered.container(f"ai-agents-{process}")


def test_probes_request_existing_addresses(rendered: Rendered) -> None:
    """An outage of a store must restart nothing."""
    api = rendered.container("ai-agents-api")
    # The port that a flood of webhooks does not reach.
    assert api["readinessProbe"]["httpGet"] == {"path": "/health/ready", "port": "metrics"}
    for alive in ("livenessProbe", "startupProbe"):
        assert api[alive]["httpGet"] == {"path": "/health/live", "port": "metrics"}
    # /health/ready gives each store 1.5 s, /ready of a worker its busy loop one more.
    assert api["readinessProbe"]["timeoutSeconds"] > 1.5
    for process in ("worker", "housekeeping"):
        container = rendered.container(f"ai-agents-{process}")
        assert container["readinessProbe"]["httpGet"] == {"path": "/ready", "port": "metrics"}
        assert container["readinessProbe"]["timeoutSeconds"] > observability.health.LOOP_SECONDS
        for alive in ("livenessProbe", "startupProbe"):
            assert container[alive]["httpGet"]["path"] == "/metrics"
    for process in ("api", "worker", "housekeeping"):
        container = rendered.container(f"ai-agents-{process}")
        probe, start = container["livenessProbe"], container["startupProbe"]
        # A process on a paused machine needs time to come back.
        assert probe["failureThreshold"] * probe["periodSeconds"] >= 60
        assert start["failureThreshold"] * start["periodSeconds"] >= 60


def test_a_stuck_worker_ends_before_its_probe_fails(production: Rendered) -> None:
    """The reason is logged, and running jobs get their grace period."""
    probe = production.container("ai-agents-worker")["livenessProbe"]
    stuck = WorkerSettings.model_fields["worker_stuck_seconds"].default
    assert probe["failureThreshold"] * probe["periodSeconds"] > stuck * 1.2


def test_redis_is_durable_and_protected(rendered: Rendered) -> None:
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


def test_the_migration_stops_retrying_only_on_permanent_errors(rendered: Rendered) -> None:
    """Exit 78 of `ai-agents migrate` needs a fix, 75 a retry."""
    job = rendered.one("Job", "ai-agents-migrate")["spec"]
    (rule,) = job["podFailurePolicy"]["rules"]
    assert (rule["action"], rule["onExitCodes"]["values"]) == ("FailJob", [78])
    assert rule["onExitCodes"]["containerName"] == rendered.container("ai-agents-migrate")["name"]
    assert job["template"]["spec"]["restartPolicy"] == "Never"
