"""Each pod keeps the restricted profile; each rule sees its breach, and no other does."""

import copy
from typing import Any

import pytest

from tests.kubernetes.pod_security import RULES, breaches
from tests.kubernetes.rendering import Rendered

GOOD: dict[str, Any] = {
    "automountServiceAccountToken": False,
    "enableServiceLinks": False,
    "securityContext": {
        "runAsNonRoot": True,
        "runAsUser": 10001,
        "seccompProfile": {"type": "RuntimeDefault"},
    },
    "containers": [
        {
            "name": "one",
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            },
        }
    ],
    "volumes": [{"name": "tmp", "emptyDir": {}}],
}
# (rule, where in the pod, what stands there; None takes it away)
BAD: list[tuple[str, str, Any]] = [
    ("host_namespaces", "hostNetwork", True),
    ("host_namespaces", "hostPID", True),
    ("host_namespaces", "hostIPC", True),
    ("host_namespaces", "containers.0.securityContext.windowsOptions", {"hostProcess": True}),
    ("privileged", "containers.0.securityContext.privileged", True),
    ("capabilities", "containers.0.securityContext.capabilities", {"drop": ["NET_RAW"]}),
    ("capabilities", "containers.0.securityContext.capabilities", None),
    ("capabilities", "containers.0.securityContext.capabilities", {"drop": ["ALL"], "add": ["SYS_ADMIN"]}),
    ("volumes", "volumes.0", {"name": "host", "hostPath": {"path": "/"}}),
    ("volumes", "volumes.0", {"name": "share", "nfs": {"server": "nas", "path": "/"}}),
    ("host_ports", "containers.0.ports", [{"containerPort": 80, "hostPort": 80}]),
    ("host_of_probes", "containers.0.livenessProbe", {"httpGet": {"host": "10.0.0.1", "port": 80}}),
    ("host_of_probes", "containers.0.lifecycle", {"preStop": {"tcpSocket": {"host": "10.0.0.1", "port": 80}}}),
    ("app_armor", "securityContext.appArmorProfile", {"type": "Unconfined"}),
    ("se_linux", "securityContext.seLinuxOptions", {"type": "spc_t"}),
    ("se_linux", "containers.0.securityContext.seLinuxOptions", {"user": "system_u"}),
    ("proc_mount", "containers.0.securityContext.procMount", "Unmasked"),
    ("sysctls", "securityContext.sysctls", [{"name": "kernel.msgmax", "value": "1"}]),
    ("privilege_escalation", "containers.0.securityContext.allowPrivilegeEscalation", True),
    ("privilege_escalation", "containers.0.securityContext.allowPrivilegeEscalation", None),
    ("non_root", "securityContext.runAsNonRoot", None),
    ("non_root", "containers.0.securityContext.runAsNonRoot", False),
    ("root_user", "containers.0.securityContext.runAsUser", 0),
    ("seccomp", "securityContext.seccompProfile", None),
    ("seccomp", "containers.0.securityContext.seccompProfile", {"type": "Unconfined"}),
    ("read_only_root", "containers.0.securityContext.readOnlyRootFilesystem", None),
    ("numeric_user", "securityContext.runAsUser", None),
    ("no_token", "automountServiceAccountToken", None),
    ("no_service_links", "enableServiceLinks", True),
]


def changed(path: str, value: Any) -> dict[str, Any]:
    """The good pod with one thing changed."""
    pod = copy.deepcopy(GOOD)
    *parents, last = path.split(".")
    place: Any = pod
    for name in parents:
        place = place[int(name)] if name.isdecimal() else place[name]
    if value is None:
        del place[last]
    elif last.isdecimal():
        place[int(last)] = value
    else:
        place[last] = value
    return pod


def test_each_pod_keeps_the_restricted_profile(rendered: Rendered) -> None:
    """Redis, Postgres and the simulators too."""
    pods = dict(rendered.pods())
    assert {"ai-agents-api", "ai-agents-worker", "ai-agents-housekeeping", "ai-agents-migrate", "redis"} <= set(pods)
    assert {name: breaches(pod["spec"]) for name, pod in pods.items() if breaches(pod["spec"])} == {}


def test_the_namespace_enforces_it(rendered: Rendered) -> None:
    labels = rendered.of("Namespace")[0]["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


@pytest.mark.parametrize(("rule", "path", "value"), BAD, ids=[f"{rule}-{path}" for rule, path, _ in BAD])
def test_each_rule_sees_its_breach(rule: str, path: str, value: Any) -> None:
    assert list(breaches(changed(path, value))) == [rule]


def test_the_good_pod_is_good_and_no_rule_lacks_an_example() -> None:
    assert breaches(GOOD) == {}
    assert {rule for rule, _, _ in BAD} == set(RULES)


def test_an_init_container_is_held_to_the_same() -> None:
    pod = GOOD | {"initContainers": [{"name": "first"}]}
    assert set(breaches(pod)) == {"capabilities", "privilege_escalation", "read_only_root"}
