"""Network policies compared with the documents, one connection each."""

import json
import shutil
from collections import Counter
from pathlib import Path

import pytest
import yaml

from tests.kubernetes.alert_rules import COPY, SOURCE, expected
from tests.kubernetes.network import End, may_connect
from tests.kubernetes.rendering import K8S, ROOT, Rendered, copied

# DNS of the cluster; the node's cache as a pod, at its own address, and at the service's.
NAMES = {
    "production": [
        End("10.244.0.6", "kube-system", {"k8s-app": "kube-dns"}),
        End("10.244.0.8", "kube-system", {"k8s-app": "node-local-dns"}),
        End("169.254.20.10"),
        End("10.96.0.10"),
    ]
}
NAMES["local"] = NAMES["production"][:3]
HOME = {"production": "ai-agents-production", "local": "ai-agents-local"}
OURS = ("ai-agents-api", "ai-agents-worker", "ai-agents-housekeeping", "ai-agents-migrate", "redis")
OUTSIDE = {
    "ingress controller": End("10.244.0.1", "ingress", {"app.kubernetes.io/name": "traefik"}),
    "prometheus": End("10.244.0.2", "monitoring", {"app.kubernetes.io/name": "prometheus"}),
    "grafana": End("10.244.0.3", "monitoring", {"app.kubernetes.io/name": "grafana"}),
    "keda": End("10.244.0.4", "keda", {"app": "keda-operator"}),
    "collector": End("10.244.0.5", "observability", {"app.kubernetes.io/name": "opentelemetry-collector"}),
    "kubernetes": End("10.96.0.1"),
    "names": End("10.244.0.6", "kube-system", {"k8s-app": "kube-dns"}),
    "solver": End("10.244.9.5", "ai-agents-production", {"acme.cert-manager.io/http01-solver": "true"}),
    # With our labels in another namespace: a selector without a namespace means the policy's own.
    "stranger": End("10.244.0.7", "default", {"app": "ai-agents-worker", "app.kubernetes.io/name": "prometheus"}),
    "postgres": End("10.20.0.5"),
    "desk": End("203.0.113.7"),
    "desk in the company": End("192.168.7.7"),
    "model": End("2001:db8::7"),
    "cloud's credentials": End("169.254.169.254"),
    "cloud's credentials, IPv6": End("fd00:ec2::254"),
}


def end(overlay: str, name: str) -> End:
    """Return one of our pods by its label, or one of the others."""
    if overlay == "production" and name in OUTSIDE:
        return OUTSIDE[name]
    if name in ("names", "stranger"):
        return OUTSIDE[name]
    return End("10.244.9.9", HOME[overlay], {"app": name})


ALLOWED = [
    ("production", "ingress controller", "ai-agents-api", 8000),
    ("production", "prometheus", "ai-agents-api", 8001),
    ("production", "prometheus", "ai-agents-worker", 9464),
    ("production", "prometheus", "ai-agents-housekeeping", 9464),
    ("production", "keda", "redis", 6379),
    ("production", "ingress controller", "solver", 8089),
    *(("production", name, "redis", 6379) for name in OURS[:3]),
    *(("production", name, "postgres", 5432) for name in OURS[:4]),
    *(("production", name, "collector", 4318) for name in OURS[:3]),
    *(("production", name, there, 443) for name in OURS[1:3] for there in ("desk", "desk in the company", "model")),
    ("production", "ai-agents-worker", "desk", 8080),
    *(("local", name, "postgres", 5432) for name in OURS[:4]),
    *(("local", name, "redis", 6379) for name in OURS[:3]),
    *(("local", name, there, 8080) for name in OURS[1:3] for there in ("desk", "openai")),
    ("local", "desk", "ai-agents-api", 8000),
]
REFUSED = [
    # The API reaches no desk and no model.
    *(("production", "ai-agents-api", there, port) for there in ("desk", "model") for port in (80, 443, 8080)),
    *(("local", "ai-agents-api", there, 8080) for there in ("desk", "openai")),
    # Only Prometheus reaches a worker, at its metrics port only.
    *(
        ("production", name, "ai-agents-worker", port)
        for name in (*OUTSIDE, *OURS)
        for port in (8000, 9464)
        if (name, port) != ("prometheus", 9464)
    ),
    *(("local", name, "ai-agents-worker", 9464) for name in (*OURS, "desk", "openai", "stranger")),
    *(("production", name, "ai-agents-api", 8000) for name in ("stranger", "grafana", "keda", "desk", *OURS)),
    # The ingress reaches webhooks only; probes come from the node, which is always allowed.
    *(("production", name, "ai-agents-api", 8001) for name in (*OUTSIDE, *OURS) if name != "prometheus"),
    ("production", "prometheus", "ai-agents-api", 8000),
    # The feedback page is closed while it is off.
    *(("production", name, "ai-agents-api", 8002) for name in (*OUTSIDE, *OURS)),
    *(("local", name, "ai-agents-api", 8001) for name in (*OURS, "desk", "openai", "stranger")),
    # Redis and the migration.
    *(("production", name, "redis", 6379) for name in ("stranger", "prometheus", "ingress controller", "desk")),
    ("production", "ai-agents-migrate", "redis", 6379),
    *(("production", "ai-agents-migrate", name, 443) for name in ("desk", "model", "collector")),
    *(("production", "redis", name, port) for name in ("desk", "postgres", "ai-agents-api") for port in (443, 5432)),
    # Nor other services of the cluster, the Kubernetes API included.
    *(
        ("production", name, there, port)
        for name in OURS
        for there in ("kubernetes", "keda", "prometheus", "stranger")
        for port in (443, 8080)
    ),
    # No process may fetch the machine's credentials.
    *(
        ("production", name, there, port)
        for name in OURS
        for there in ("cloud's credentials", "cloud's credentials, IPv6")
        for port in (80, 443)
    ),
    # The ACME solver is called through the ingress controller, and calls no other host.
    *(("production", name, "solver", 8089) for name in ("stranger", "prometheus", "desk", *OURS)),
    *(("production", "ingress controller", "solver", port) for port in (80, 8000)),
    *(("production", "solver", name, port) for name in (*OURS, "model") for port in (443, 5432, 6379, 8000)),
    *(("local", name, "postgres", 5432) for name in ("redis", "desk", "openai", "stranger")),
    *(("local", "openai", name, port) for name in ("ai-agents-api", "desk", "redis") for port in (6379, 8000, 8080)),
]


@pytest.mark.parametrize("overlay", HOME)
def test_who_may_connect(overlay: str) -> None:
    policies = Rendered(overlay).of("NetworkPolicy")
    asked = [(question, True) for question in ALLOWED] + [(question, False) for question in REFUSED]
    wrong = [
        (sender, receiver, port, "should be allowed" if expected else "should be refused")
        for (where, sender, receiver, port), expected in asked
        if where == overlay
        and may_connect(policies, end(overlay, sender), end(overlay, receiver), port) is not expected
    ]
    assert wrong == []


def test_with_the_proxy_example_only_named_destinations_are_reachable(tmp_path: Path) -> None:
    production = copied(tmp_path)
    shutil.copy(K8S / "examples" / "proxy.yaml", production)
    kustomization = production / "kustomization.yaml"
    chosen = kustomization.read_text(encoding="utf-8").replace("  # - path: proxy.yaml\n", "  - path: proxy.yaml\n")
    kustomization.write_text(chosen, encoding="utf-8")
    policies = Rendered("production", tmp_path).of("NetworkPolicy")
    assert len(policies) == len(Rendered("production").of("NetworkPolicy"))
    proxy, inside = End("10.30.0.10"), OUTSIDE["desk in the company"]
    for name in OURS:
        sender, calls_out = end("production", name), name in OURS[1:3]
        assert may_connect(policies, sender, proxy, 3128) is calls_out
        assert may_connect(policies, sender, inside, 443) is calls_out
        for there in ("desk", "model", "kubernetes", "cloud's credentials"):
            assert not any(may_connect(policies, sender, OUTSIDE[there], port) for port in (443, 3128, 8080))
        assert not may_connect(policies, sender, proxy, 443)


@pytest.mark.parametrize("overlay", HOME)
def test_each_pod_finds_names_and_nobody_enters_by_that(overlay: str) -> None:
    rendered = Rendered(overlay)
    policies = rendered.of("NetworkPolicy")
    for _, pod in rendered.pods():
        one = End("10.244.9.8", HOME[overlay], pod["metadata"]["labels"])
        for there in NAMES[overlay]:
            assert may_connect(policies, one, there, 53, "UDP")
            assert may_connect(policies, one, there, 53, "TCP")
            assert not may_connect(policies, one, there, 80)
        assert not may_connect(policies, OUTSIDE["stranger"], one, 53, "UDP")


@pytest.mark.parametrize("overlay", HOME)
def test_a_pod_without_a_policy_may_do_nothing(overlay: str) -> None:
    policies = [one for one in Rendered(overlay).of("NetworkPolicy") if one["metadata"]["name"] == "deny-all"]
    new = End("10.244.9.6", HOME[overlay], {"app": "new"})
    assert not may_connect(policies, new, OUTSIDE["model"], 443)
    assert not may_connect(policies, OUTSIDE["stranger"], new, 8000)


# Fields of https://prometheus-operator.dev/docs/api-reference/api/ that are used here.
MONITOR = {"jobLabel", "selector", "endpoints", "podMetricsEndpoints"}
ENDPOINT = {"port", "path", "interval", "scrapeTimeout"}
RULE = {"alert", "record", "expr", "for", "labels", "annotations"}
DASHBOARDS = ROOT / "observability" / "grafana" / "dashboards"


def test_the_alerts_equal_the_tested_ones(production: Rendered) -> None:
    assert COPY.read_text(encoding="utf-8") == expected(), "run `python -m tests.kubernetes.alert_rules`"
    (rule,) = production.of("PrometheusRule")
    assert rule["spec"] == yaml.safe_load(SOURCE.read_text(encoding="utf-8"))
    for group in rule["spec"]["groups"]:
        assert set(group) == {"name", "rules"}
        assert all(set(one) <= RULE for one in group["rules"])


def test_each_process_is_scraped_once(production: Rendered) -> None:
    found: Counter[str] = Counter()
    for monitor in (*production.of("ServiceMonitor"), *production.of("PodMonitor")):
        spec = monitor["spec"]
        assert set(spec) <= MONITOR
        if monitor["kind"] == "ServiceMonitor":
            (service,) = [
                one
                for one in production.of("Service")
                if spec["selector"]["matchLabels"].items() <= one["metadata"]["labels"].items()
            ]
            (endpoint,) = spec["endpoints"]
            assert endpoint["port"] == "metrics"
            assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
            found[service["metadata"]["labels"][spec["jobLabel"]]] += 1
        else:
            (expression,) = spec["selector"]["matchExpressions"]
            (endpoint,) = spec["podMetricsEndpoints"]
            for app in expression["values"]:
                pod = production.pod(app)
                assert endpoint["port"] in {port["name"] for port in pod["spec"]["containers"][0]["ports"]}
                found[pod["metadata"]["labels"][spec["jobLabel"]]] += 1
        assert set(endpoint) <= ENDPOINT
        assert endpoint["path"] == "/metrics"
    assert found == {"api": 1, "worker": 1, "housekeeping": 1}


def test_each_dashboard_is_available_to_grafanas_sidecar(production: Rendered) -> None:
    given = {
        name: json.loads(text)
        for one in production.of("ConfigMap")
        if one["metadata"].get("labels", {}).get("grafana_dashboard") == "1"
        for name, text in one["data"].items()
    }
    files = {path.name: json.loads(path.read_text(encoding="utf-8")) for path in DASHBOARDS.glob("*.json")}
    assert files
    assert given == files
