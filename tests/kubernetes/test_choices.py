"""Options of the production overlay, one line each."""

import re

import pytest

from config.settings import ApiSettings
from tests.kubernetes.network import End, may_connect
from tests.kubernetes.rendering import K8S, OPERATORS, PROCESSES, Change, Rendered, component, documents

KEDA, MONITORING = "  - ../../components/keda\n", "  - ../../components/monitoring\n"
_CONSOLE = End("10.244.0.20", "ai-agents-production", {"app": "ai-agents-console"})
_REDIS = End("10.244.0.21", "ai-agents-production", {"app": "redis"})
_INGRESS = End("10.244.0.1", "ingress", {"app.kubernetes.io/name": "traefik"})
_PROMETHEUS = End("10.244.0.2", "monitoring", {"app.kubernetes.io/name": "prometheus"})
_API = End("10.244.0.9", "ai-agents-production", {"app": "ai-agents-api"})
_PROVIDER = End("10.40.0.9")
_CONNECTIONS = [
    (_INGRESS, _CONSOLE, 8010, True),
    (_PROMETHEUS, _CONSOLE, 9464, True),
    (_CONSOLE, _REDIS, 6379, True),
    (_CONSOLE, End("10.20.0.5"), 5432, True),
    (_CONSOLE, _PROVIDER, 443, False),
    (_INGRESS, _CONSOLE, 9464, False),
    (_PROMETHEUS, _CONSOLE, 8010, False),
    (_CONSOLE, End("203.0.113.7"), 443, False),
    (_CONSOLE, End("169.254.169.254"), 80, False),
    (_API, _CONSOLE, 8010, False),
    (_CONSOLE, _API, 8000, False),
    (End("10.244.0.7", "default", {"app": "ai-agents-console"}), _REDIS, 6379, False),
]
_SECRETS = {"ai-agents-secrets": {"DATABASE_URL": "postgresql://a@b/c", "REDIS_PASSWORD": "r"}}
_AUTHORITIES = "/etc/ai-agents/authorities.pem"
_OWN_REDIS = re.compile(r'(?<=docs/kubernetes.md, "TLS".\n)((?:  # .*\n)+?)(?=  # For a registry)')
_REGISTRY = re.compile(r"(?<=take the # away\.\n)((?:  # .*\n?)+)")


def names(rendered: Rendered) -> set[tuple[str, str]]:
    return {(one["kind"], one["metadata"]["name"]) for one in rendered.objects}


def test_without_keda_its_line_is_removed_and_a_number_is_set(changed: Change, production: Rendered) -> None:
    without = changed(kustomization=[(KEDA, "")])
    assert names(production) - names(without) == {
        ("ScaledObject", "ai-agents-worker"),
        ("TriggerAuthentication", "redis"),
    }
    assert names(without) <= names(production)
    worker = without.one("Deployment", "ai-agents-worker")
    least = production.one("ScaledObject", "ai-agents-worker")["spec"]["minReplicaCount"]
    assert worker["spec"]["replicas"] == least
    assert "annotations" not in worker["metadata"]


@pytest.mark.parametrize("keda", [True, False])
def test_the_number_of_workers_is_in_one_file(keda: bool, changed: Change) -> None:
    rendered = changed(
        kustomization=[] if keda else [(KEDA, "")],
        sizes=[("replicas: 5", "replicas: 7")],
        scaling=[("minReplicaCount: 5", "minReplicaCount: 6"), ("maxReplicaCount: 10", "maxReplicaCount: 12")],
    )
    fixed = rendered.one("Deployment", "ai-agents-worker")["spec"].get("replicas")
    scaled = [(one["spec"]["minReplicaCount"], one["spec"]["maxReplicaCount"]) for one in rendered.of("ScaledObject")]
    assert (fixed, scaled) == ((None, [(6, 12)]) if keda else (7, []))


def test_without_the_prometheus_operator_its_line_is_removed(changed: Change, production: Rendered) -> None:
    without = changed(kustomization=[(KEDA, ""), (MONITORING, "")])
    assert {kind for kind, _ in names(production) - names(without)} == OPERATORS | {"ConfigMap"}
    assert not {one["kind"] for one in without.objects} & OPERATORS


def test_feedback_is_an_optional_line(changed: Change, production: Rendered) -> None:
    rendered = changed(kustomization=[component("feedback")])
    assert names(rendered) - names(production) >= {
        ("Ingress", "ai-agents-feedback"),
        ("NetworkPolicy", "from-ingress-to-feedback"),
    }
    (rule,) = rendered.one("Ingress", "ai-agents-feedback")["spec"]["rules"]
    (path,) = rule["http"]["paths"]
    assert (path["path"], path["backend"]["service"]["port"]) == ("/f", {"name": "feedback"})
    ports = {port["name"]: port["containerPort"] for port in rendered.container("ai-agents-api")["ports"]}
    policy = rendered.one("NetworkPolicy", "from-ingress-to-feedback")["spec"]
    assert policy["ingress"][0]["ports"] == [{"protocol": "TCP", "port": ports["feedback"]}]
    assert ports["feedback"] == ApiSettings.model_fields["feedback_port"].default
    address = f"https://{rule['host']}"
    assert rendered.settings()["FEEDBACK_URL"] == address
    # The overlay's own settings stay.
    assert rendered.settings().items() >= production.settings().items()
    assert "FEEDBACK_URL" not in production.settings()


def test_the_console_is_an_optional_line(changed: Change, production: Rendered) -> None:
    rendered = changed(kustomization=[component("console")])
    names_of_it = {name for _, name in names(rendered) - names(production)}
    assert names_of_it >= {"ai-agents-console", "from-console-to-redis"}
    container = rendered.container("ai-agents-console")
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert container["args"] == ["console", "--host", "0.0.0.0", "--port", str(ports["http"])]  # noqa: S104 -- a pod's
    assert ports["metrics"] == int(rendered.settings()["METRICS_PORT"])
    (rule,) = rendered.one("Ingress", "ai-agents-console")["spec"]["rules"]
    assert rendered.settings()["CONSOLE_URL"] == f"https://{rule['host']}"
    assert rendered.settings().items() >= production.settings().items()
    assert "CONSOLE_URL" not in production.settings()
    # Like our other processes: hardened, with mounted secrets and the authorities of Postgres.
    own, other = (rendered.pod(f"ai-agents-{process}")["spec"] for process in ("console", "housekeeping"))
    assert own["securityContext"] == other["securityContext"]
    assert [volume["name"] for volume in own["volumes"]] == [volume["name"] for volume in other["volumes"]]
    assert own["containers"][0]["volumeMounts"] == other["containers"][0]["volumeMounts"]
    assert container["securityContext"] == other["containers"][0]["securityContext"]
    assert set(rendered.environment("ai-agents-console", _SECRETS)) >= {"DATABASE_URL", "REDIS_URL", "SECRETS_DIR"}


def test_the_console_reaches_the_stores_and_a_provider_where_one_is_named(changed: Change) -> None:
    policies = changed(kustomization=[component("console")]).of("NetworkPolicy")
    named = [*policies, *documents(K8S / "components" / "console" / "provider.yaml")]
    for policy in named:
        policy["metadata"].setdefault("namespace", "ai-agents-production")
    for sender, receiver, port, may in _CONNECTIONS:
        assert may_connect(policies, sender, receiver, port) is may, (sender, receiver, port)
        assert may_connect(named, sender, receiver, port) is (may or receiver == _PROVIDER), (sender, receiver, port)


def test_prometheus_chooses_by_one_label(changed: Change) -> None:
    rendered = changed(kustomization=[("release: kube-prometheus-stack", "release: another")])
    wanted = {"ServiceMonitor", "PodMonitor", "PrometheusRule"}
    assert wanted <= {one["kind"] for one in rendered.objects}
    for one in rendered.objects:
        label = one["metadata"].get("labels", {}).get("release")
        assert label == ("another" if one["kind"] in wanted else None), one["metadata"]["name"]


def test_a_registry_with_a_password_is_optional_lines(changed: Change, production: Rendered) -> None:
    (lines,) = _REGISTRY.findall((K8S / "overlays" / "production" / "kustomization.yaml").read_text(encoding="utf-8"))
    rendered = changed(kustomization=[(lines, lines.replace("  # ", "  "))])
    (account,) = rendered.of("ServiceAccount")
    assert account["imagePullSecrets"] == [{"name": "ai-agents-registry"}]
    assert {pod["spec"]["serviceAccountName"] for _, pod in rendered.pods()} == {account["metadata"]["name"]}
    assert "imagePullSecrets" not in str(production.objects)


def test_an_external_redis_is_verified(changed: Change) -> None:
    path = K8S / "overlays" / "production" / "kustomization.yaml"
    (lines,) = _OWN_REDIS.findall(path.read_text(encoding="utf-8"))
    rendered = changed(kustomization=[(lines, lines.replace("  # ", "  "))])
    for process in PROCESSES[:3]:
        (url,) = [
            one["value"] for one in rendered.container(f"ai-agents-{process}")["env"] if one["name"] == "REDIS_URL"
        ]
        assert url.startswith("rediss://:$(REDISCLI_AUTH)@")
        assert url.endswith(f"?ssl_cert_reqs=required&ssl_ca_certs={_AUTHORITIES}")
