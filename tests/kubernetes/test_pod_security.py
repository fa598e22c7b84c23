"""The restricted profile of the Pod Security Standards, and our additions.

Source: https://kubernetes.io/docs/concepts/security/pod-security-standards/ (baseline and restricted, Linux). Only the
fields listed here are allowed, and none of them can break the profile beyond the checks. Look a new field up there
before adding it.
"""

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from tests.kubernetes.rendering import Rendered

# Beyond the profile: no Kubernetes API, and a service called `servicedesk` must not become settings.
ASKED = {"automountServiceAccountToken": False, "enableServiceLinks": False}
POD = {*ASKED, *("containers", "restartPolicy", "securityContext", "serviceAccountName", "volumes")}
POD |= {"terminationGracePeriodSeconds", "topologySpreadConstraints"}
HANDLERS = ("startupProbe", "readinessProbe", "livenessProbe", "lifecycle")
CONTAINER = {*HANDLERS, *("name", "image", "command", "args", "env", "envFrom"), "ports", "resources"}
CONTAINER |= {"securityContext", "volumeMounts"}
# Ours too: a read-only root, and a numeric user, so that the kubelet need not trust the image's.
CONFINED = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
UNPRIVILEGED = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
NUMBERS = {"runAsUser", "runAsGroup", "fsGroup"}

GOOD: dict[str, Any] = {
    **ASKED,
    "securityContext": UNPRIVILEGED | {"runAsUser": 10001},
    "containers": [{"name": "one", "securityContext": CONFINED}],
    "volumes": [{"name": "tmp", "emptyDir": {}}],
}
# Place in the pod, and value; None removes it. One or two for each check.
BAD: list[tuple[str, Any]] = [
    *((name, True) for name in ("hostNetwork", "enableServiceLinks")),
    ("automountServiceAccountToken", None),
    ("volumes.0", {"name": "host", "hostPath": {"path": "/"}}),
    ("securityContext.sysctls", [{"name": "kernel.msgmax", "value": "1"}]),
    *((f"securityContext.{name}", None) for name in ("runAsNonRoot", "runAsUser", "seccompProfile")),
    ("securityContext.runAsUser", 0),
    ("volumes.0", {"name": "tmp", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}),
    ("containers.0.tty", True),
    ("containers.0.ports", [{"containerPort": 80, "hostPort": 80}]),
    ("containers.0.livenessProbe", {"httpGet": {"host": "10.0.0.1", "port": 80}}),
    ("containers.0.lifecycle", {"preStop": {"tcpSocket": {"host": "10.0.0.1", "port": 80}}}),
    ("containers.0.securityContext.privileged", True),
    ("containers.0.securityContext.capabilities", {"drop": ["ALL"], "add": ["SYS_ADMIN"]}),
    *((f"containers.0.securityContext.{name}", None) for name in CONFINED),
]


def breaches(spec: dict[str, Any]) -> Iterator[str]:
    """Yield each place in a pod's `spec` with an unlisted field or a forbidden value."""
    yield from spec.keys() - POD
    yield from (name for name, wanted in ASKED.items() if spec.get(name) is not wanted)
    context = spec.get("securityContext", {})
    if {name: context[name] for name in context.keys() - NUMBERS} != UNPRIVILEGED or not context.get("runAsUser"):
        yield "securityContext"
    for number, volume in enumerate(spec.get("volumes", [])):
        joined = {kind for source in volume.get("projected", {}).get("sources", []) for kind in source}
        if volume.keys() - {"name", "configMap", "emptyDir", "secret", "projected"} or joined - {"configMap", "secret"}:
            yield f"volumes.{number}"
    for number, container in enumerate(spec["containers"]):
        found = container.keys() - CONTAINER
        found |= {"securityContext"} if container.get("securityContext") != CONFINED else set()
        found |= (
            {"ports"} if any(port.keys() - {"name", "containerPort"} for port in container.get("ports", [])) else set()
        )
        # Probes and hooks call the pod itself, no other host.
        found |= {name for name in HANDLERS if "'host':" in str(container.get(name))}
        yield from (f"containers.{number}.{name}" for name in found)


def changed(path: str, value: Any) -> dict[str, Any]:
    """Return the good pod with one change."""
    pod = copy.deepcopy(GOOD)
    *parents, last = path.split(".")
    place: Any = pod
    for name in parents:
        place = place[int(name)] if name.isdecimal() else place[name]
    if value is None:
        del place[last]
    else:
        place[int(last) if last.isdecimal() else last] = value
    return pod


def test_each_pod_keeps_the_restricted_profile(rendered: Rendered) -> None:
    pods = dict(rendered.pods())
    assert {"ai-agents-api", "ai-agents-worker", "ai-agents-housekeeping", "ai-agents-migrate", "redis"} <= set(pods)
    assert [(name, place) for name, pod in pods.items() for place in breaches(pod["spec"])] == []


def test_the_namespace_enforces_it(rendered: Rendered) -> None:
    labels = rendered.of("Namespace")[0]["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


@pytest.mark.parametrize(("path", "value"), BAD)
def test_each_breach_is_seen_where_it_is(path: str, value: Any) -> None:
    assert list(breaches(GOOD)) == []
    (place,) = breaches(changed(path, value))
    assert path.startswith(place)
