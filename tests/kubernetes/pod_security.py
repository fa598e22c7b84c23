"""The restricted profile of the Pod Security Standards, rule by rule, and what we ask beyond it.

Source: https://kubernetes.io/docs/concepts/security/pod-security-standards/ (baseline and restricted, Linux). A rule
takes a pod's `spec` and gives a sentence for each breach.
"""

from collections.abc import Callable, Iterator
from typing import Any

Spec = dict[str, Any]
Rule = Callable[[Spec], Iterator[str]]

_VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}
_SYSCTLS = {
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
}
_SELINUX_TYPES = {None, "", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}


def _containers(spec: Spec) -> Iterator[tuple[str, Spec]]:
    for kind in ("containers", "initContainers", "ephemeralContainers"):
        for container in spec.get(kind, []):
            yield container["name"], container


def _contexts(spec: Spec) -> Iterator[tuple[str, Spec]]:
    yield "pod", spec.get("securityContext", {})
    for name, container in _containers(spec):
        yield name, container.get("securityContext", {})


def host_namespaces(spec: Spec) -> Iterator[str]:
    """No namespace of the host, and no process of a Windows host."""
    yield from (f"{name} is set" for name in ("hostNetwork", "hostPID", "hostIPC") if spec.get(name))
    for name, context in _contexts(spec):
        if context.get("windowsOptions", {}).get("hostProcess"):
            yield f"{name}: hostProcess"


def privileged(spec: Spec) -> Iterator[str]:
    """No container is privileged."""
    yield from (f"{name}: privileged" for name, context in _contexts(spec) if context.get("privileged"))


def capabilities(spec: Spec) -> Iterator[str]:
    """Each container drops all, and adds back none but NET_BIND_SERVICE."""
    for name, container in _containers(spec):
        wanted = container.get("securityContext", {}).get("capabilities", {})
        if "ALL" not in wanted.get("drop", []):
            yield f"{name}: does not drop ALL"
        if set(wanted.get("add", [])) - {"NET_BIND_SERVICE"}:
            yield f"{name}: adds capabilities"


def volumes(spec: Spec) -> Iterator[str]:
    """Nothing of the host, and no network volume of the pod's own."""
    for volume in spec.get("volumes", []):
        if set(volume) - {"name"} - _VOLUMES:
            yield f"volume {volume['name']} is of another type"


def host_ports(spec: Spec) -> Iterator[str]:
    """No port of the host."""
    for name, container in _containers(spec):
        yield from (f"{name}: hostPort" for port in container.get("ports", []) if port.get("hostPort"))


def host_of_probes(spec: Spec) -> Iterator[str]:
    """Probes and hooks ask the pod itself, no other host."""
    for name, container in _containers(spec):
        hooks = container.get("lifecycle", {})
        asked = [container.get(f"{kind}Probe", {}) for kind in ("startup", "readiness", "liveness")]
        for handler in (*asked, hooks.get("preStop", {}), hooks.get("postStart", {})):
            if any(handler.get(kind, {}).get("host") for kind in ("httpGet", "tcpSocket")):
                yield f"{name}: a probe names a host"


def app_armor(spec: Spec) -> Iterator[str]:
    """AppArmor is not switched off."""
    for name, context in _contexts(spec):
        if context.get("appArmorProfile", {}).get("type", "RuntimeDefault") not in {"RuntimeDefault", "Localhost"}:
            yield f"{name}: AppArmor is off"


def se_linux(spec: Spec) -> Iterator[str]:
    """SELinux keeps its types, and nobody chooses a user or a role."""
    for name, context in _contexts(spec):
        options = context.get("seLinuxOptions", {})
        if options.get("type") not in _SELINUX_TYPES or options.get("user") or options.get("role"):
            yield f"{name}: SELinux options"


def proc_mount(spec: Spec) -> Iterator[str]:
    """/proc stays masked."""
    for name, context in _contexts(spec):
        if context.get("procMount", "Default") != "Default":
            yield f"{name}: procMount"


def sysctls(spec: Spec) -> Iterator[str]:
    """None but the safe ones."""
    asked = {one["name"] for one in spec.get("securityContext", {}).get("sysctls", [])}
    yield from (f"sysctl {name}" for name in sorted(asked - _SYSCTLS))


def privilege_escalation(spec: Spec) -> Iterator[str]:
    """Said to be off in each container: the default is on."""
    for name, container in _containers(spec):
        if container.get("securityContext", {}).get("allowPrivilegeEscalation") is not False:
            yield f"{name}: allowPrivilegeEscalation is not false"


def non_root(spec: Spec) -> Iterator[str]:
    """RunAsNonRoot is true for each container, its own word before the pod's."""
    general = spec.get("securityContext", {}).get("runAsNonRoot")
    for name, container in _containers(spec):
        if container.get("securityContext", {}).get("runAsNonRoot", general) is not True:
            yield f"{name}: runAsNonRoot is not true"


def root_user(spec: Spec) -> Iterator[str]:
    """Nobody is user 0."""
    yield from (f"{name}: runAsUser is 0" for name, context in _contexts(spec) if context.get("runAsUser") == 0)


def seccomp(spec: Spec) -> Iterator[str]:
    """A profile for each container, its own or the pod's, and never Unconfined."""
    general = spec.get("securityContext", {}).get("seccompProfile", {})
    for name, container in _containers(spec):
        profile = container.get("securityContext", {}).get("seccompProfile", general)
        if profile.get("type") not in {"RuntimeDefault", "Localhost"}:
            yield f"{name}: no seccomp profile"
    if general.get("type") == "Unconfined":
        yield "pod: seccomp is off"


def read_only_root(spec: Spec) -> Iterator[str]:
    """Ours: nothing can be written but what is mounted for it."""
    for name, container in _containers(spec):
        if container.get("securityContext", {}).get("readOnlyRootFilesystem") is not True:
            yield f"{name}: readOnlyRootFilesystem is not true"


def numeric_user(spec: Spec) -> Iterator[str]:
    """Ours: the user is a number here, so that the kubelet need not trust the image's."""
    if not spec.get("securityContext", {}).get("runAsUser"):
        yield "pod: runAsUser is not set"


def no_token(spec: Spec) -> Iterator[str]:
    """Ours: nothing here talks to Kubernetes."""
    if spec.get("automountServiceAccountToken") is not False:
        yield "pod: automountServiceAccountToken is not false"


def no_service_links(spec: Spec) -> Iterator[str]:
    """Ours: a service called `servicedesk` would become settings."""
    if spec.get("enableServiceLinks") is not False:
        yield "pod: enableServiceLinks is not false"


RULES: dict[str, Rule] = {
    rule.__name__: rule
    for rule in (
        host_namespaces,
        privileged,
        capabilities,
        volumes,
        host_ports,
        host_of_probes,
        app_armor,
        se_linux,
        proc_mount,
        sysctls,
        privilege_escalation,
        non_root,
        root_user,
        seccomp,
        read_only_root,
        numeric_user,
        no_token,
        no_service_links,
    )
}


def breaches(spec: Spec) -> dict[str, list[str]]:
    """The rules that a pod breaks, each with its sentences."""
    found = {name: list(rule(spec)) for name, rule in RULES.items()}
    return {name: sentences for name, sentences in found.items() if sentences}
