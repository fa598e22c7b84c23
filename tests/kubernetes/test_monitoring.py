"""Objects for the Prometheus Operator and for Grafana's sidecar."""

import json
from collections import Counter

import yaml

from tests.kubernetes.alert_rules import COPY, SOURCE, expected
from tests.kubernetes.rendering import ROOT, Rendered

# Fields of https://prometheus-operator.dev/docs/api-reference/api/ that are used here.
MONITOR = {"jobLabel", "selector", "endpoints", "podMetricsEndpoints"}
ENDPOINT = {"port", "path", "interval", "scrapeTimeout"}
RULE = {"alert", "record", "expr", "for", "labels", "annotations"}
DASHBOARDS = ROOT / "observability" / "grafana" / "dashboards"


def test_the_alerts_are_those_that_are_tested(production: Rendered) -> None:
    """Literally, comments included."""
    assert COPY.read_text(encoding="utf-8") == expected(), "run `python -m tests.kubernetes.alert_rules`"
    (rule,) = production.of("PrometheusRule")
    assert rule["spec"] == yaml.safe_load(SOURCE.read_text(encoding="utf-8"))
    for group in rule["spec"]["groups"]:
        assert set(group) == {"name", "rules"}
        assert all(set(one) <= RULE for one in group["rules"])


def test_each_process_is_asked_once_for_its_figures(production: Rendered) -> None:
    """At a port that it has; `job` is the process's name."""
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


def test_each_dashboard_is_there_for_grafanas_sidecar(production: Rendered) -> None:
    """With the sidecar's label, and identical to the repository's file."""
    given = {
        name: json.loads(text)
        for one in production.of("ConfigMap")
        if one["metadata"].get("labels", {}).get("grafana_dashboard") == "1"
        for name, text in one["data"].items()
    }
    files = {path.name: json.loads(path.read_text(encoding="utf-8")) for path in DASHBOARDS.glob("*.json")}
    assert files
    assert given == files
