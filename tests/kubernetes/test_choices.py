"""What the production overlay lets people choose: one line each, and what is left still fits together."""

import re

import pytest

from config.settings import ApiSettings
from tests.kubernetes.rendering import K8S, OPERATORS, Change, Rendered

KEDA, MONITORING = "  - ../../components/keda\n", "  - ../../components/monitoring\n"
_REGISTRY = re.compile(r"(?<=take the # away\.\n)((?:  # .*\n?)+)")


def names(rendered: Rendered) -> set[tuple[str, str]]:
    return {(one["kind"], one["metadata"]["name"]) for one in rendered.objects}


def test_without_keda_its_line_is_taken_out_and_a_number_is_set(changed: Change, production: Rendered) -> None:
    """The same number as the autoscaler's least; nothing else changes."""
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
    """scaling.yaml with the autoscaler, sizes.yaml without."""
    rendered = changed(
        kustomization=[] if keda else [(KEDA, "")],
        sizes=[("replicas: 5", "replicas: 7")],
        scaling=[("minReplicaCount: 5", "minReplicaCount: 6"), ("maxReplicaCount: 10", "maxReplicaCount: 12")],
    )
    fixed = rendered.one("Deployment", "ai-agents-worker")["spec"].get("replicas")
    scaled = [(one["spec"]["minReplicaCount"], one["spec"]["maxReplicaCount"]) for one in rendered.of("ScaledObject")]
    assert (fixed, scaled) == ((None, [(6, 12)]) if keda else (7, []))


def test_without_the_prometheus_operator_its_line_is_taken_out(changed: Change, production: Rendered) -> None:
    """And without both there is no component at all."""
    without = changed(kustomization=[(KEDA, ""), (MONITORING, "")])
    assert {kind for kind, _ in names(production) - names(without)} == OPERATORS | {"ConfigMap"}
    assert not {one["kind"] for one in without.objects} & OPERATORS


def test_feedback_is_a_line_that_is_commented_out(changed: Change, production: Rendered) -> None:
    """The page at a host of its own, which leads to its port alone; its address reaches all who make or read links."""
    line = "  # - ../../components/feedback\n"
    rendered = changed(kustomization=[(line, line.replace("# ", ""))])
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
    # What the overlay says itself is there as before.
    assert rendered.settings().items() >= production.settings().items()
    assert "FEEDBACK_URL" not in production.settings()


def test_prometheus_chooses_by_one_label(changed: Change) -> None:
    """All of them, and nothing that is not Prometheus's."""
    rendered = changed(kustomization=[("release: kube-prometheus-stack", "release: another")])
    wanted = {"ServiceMonitor", "PodMonitor", "PrometheusRule"}
    assert wanted <= {one["kind"] for one in rendered.objects}
    for one in rendered.objects:
        label = one["metadata"].get("labels", {}).get("release")
        assert label == ("another" if one["kind"] in wanted else None), one["metadata"]["name"]


def test_a_registry_with_a_password_is_lines_that_are_commented_out(changed: Change, production: Rendered) -> None:
    """Every pod has it by its service account."""
    (lines,) = _REGISTRY.findall((K8S / "overlays" / "production" / "kustomization.yaml").read_text(encoding="utf-8"))
    rendered = changed(kustomization=[(lines, lines.replace("  # ", "  "))])
    (account,) = rendered.of("ServiceAccount")
    assert account["imagePullSecrets"] == [{"name": "ai-agents-registry"}]
    assert {pod["spec"]["serviceAccountName"] for _, pod in rendered.pods()} == {account["metadata"]["name"]}
    assert "imagePullSecrets" not in str(production.objects)
