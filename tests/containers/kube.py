"""The local overlay in Podman, in place of Kubernetes."""

import copy
import re
from pathlib import Path
from typing import Any

import yaml

from devstack.free_ports import free_port
from tests.containers.engine import BECOMING, Engine
from tests.kubernetes.mounts import sources, write_mounted
from tests.kubernetes.rendering import Rendered

NETWORK = "ai-agents-test-kube"
SERVERS = ("redis", "postgres")


def for_podman(workload: dict[str, Any], environment: dict[str, str], folder: Path) -> dict[str, Any]:
    """Return a workload without the features that Podman lacks.

    Podman expands no values in variables and commands, and has no `fsGroup`, stateful sets or projected volumes. Its
    HTTP probes need curl, which the image lacks. A stateful set's claim becomes a path in `folder`.
    """
    changed = copy.deepcopy(workload)
    spec = changed["spec"]["template"]["spec"]
    if changed["kind"] == "StatefulSet":
        changed["kind"] = "Deployment"
        for claim in changed["spec"].pop("volumeClaimTemplates"):
            path = folder / claim["metadata"]["name"]
            path.mkdir()
            path.chmod(0o777)
            spec["volumes"].append({"name": path.name, "hostPath": {"path": str(path), "type": "Directory"}})
    for volume in spec.get("volumes", []):
        if volume.pop("projected", None):
            volume["secret"] = {"secretName": joined(workload["metadata"]["name"])}
        if "secret" in volume:
            volume["secret"]["defaultMode"] = 0o444
    for container in spec["containers"]:
        for variable in container.get("env", []):
            if "value" in variable:
                variable["value"] = environment[variable["name"]]
        if "command" in container:
            container["command"] = [
                re.sub(r"\$\((\w+)\)", lambda place: environment[place[1]], word) for word in container["command"]
            ]
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            container.pop(probe, None)
    return changed


def joined(workload: str) -> str:
    """Return the name of the secret that replaces a workload's projected volume."""
    return f"{workload}-joined"


def begun_as_root(workload: dict[str, Any]) -> dict[str, Any]:
    """Return a workload whose entry point may change its user."""
    changed = copy.deepcopy(workload)
    spec = changed["spec"]["template"]["spec"]
    del spec["securityContext"]
    for container in spec["containers"]:
        container["securityContext"]["capabilities"]["add"] = list(BECOMING)
    return changed


class Kube:
    """The started pods.

    `desk` is the simulated desk's address for this machine. `as_root`: servers whose image here, unlike the published
    one, cannot start as its own user; they start as root, and the manifest's `runAsUser` is not tested.
    """

    def __init__(self, engine: Engine, folder: Path) -> None:
        self.engine = engine
        self.rendered = Rendered("local")
        self._folder = folder
        self._port = free_port()
        self.desk = f"http://127.0.0.1:{self._port}"
        self._played: list[Path] = []
        self.as_root = [name for name in SERVERS if not self._begins_as_its_user(name)]

    def _begins_as_its_user(self, name: str) -> bool:
        given = self.rendered.pod(name)["spec"]["securityContext"]
        container = self._container(name)
        user = f"{given['runAsUser']}:{given['runAsGroup']}"
        return self.engine.begins_as(user, container["image"], container.get("command", [name])[0])

    def open(self) -> None:
        """Start the network with Redis and Postgres."""
        self.close()
        self.engine.run("network", "create", NETWORK)
        for name in SERVERS:
            self.play(name)

    def _container(self, name: str) -> dict[str, Any]:
        return self.rendered.container(name)

    def _mounted(self) -> list[dict[str, Any]]:
        return [*self.rendered.of("ConfigMap"), *self.rendered.of("Secret")]

    def _joined(self, name: str, secrets: dict[str, dict[str, str]]) -> list[dict[str, Any]]:
        """Return one secret with all sources of a projected volume, if there is one."""
        if not sources(self.rendered, name):
            return []
        folder = self._folder / joined(name)
        folder.mkdir(exist_ok=True)
        write_mounted(self.rendered, name, secrets, folder)
        data = {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}
        return [{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": joined(name)}, "stringData": data}]

    def play(self, name: str) -> None:
        """Start the pods of this name, reachable by their service's name."""
        secrets = {
            one["metadata"]["name"]: self.rendered.secret(one["metadata"]["name"]) for one in self.rendered.of("Secret")
        }
        (workload,) = [
            one
            for kind in ("Deployment", "StatefulSet", "Job")
            for one in self.rendered.of(kind)
            if one["metadata"]["name"] == name
        ]
        if name in self.as_root:
            workload = begun_as_root(workload)
        played = for_podman(workload, self.rendered.environment(name, secrets), self._folder)
        objects = [*self._mounted(), *self._joined(name, secrets), played]
        path = self._folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump_all(objects), encoding="utf-8")
        published = ["--publish", f"127.0.0.1:{self._port}:8080"] if name == "desk" else []
        self.engine.run("kube", "play", "--network", f"{NETWORK}:alias={name}", *published, str(path))
        self._played.append(path)

    def name(self, workload: str) -> str:
        """Return Podman's name of its container."""
        return f"{workload}-pod-{self._container(workload)['name']}"

    def exec(self, workload: str, *words: str, check: bool = True) -> str:
        """Run a command in its container; return the output."""
        return self.engine.run("exec", self.name(workload), *words, check=check).stdout.strip()

    def logs(self, workload: str) -> str:
        return self.engine.output("logs", self.name(workload))

    def paths(self, workload: str) -> set[tuple[int, str]]:
        """Return the ports and paths of its probes."""
        (container,) = self.rendered.pod(workload)["spec"]["containers"]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        asked = [probe["httpGet"] for name, probe in container.items() if re.fullmatch(r"\w+Probe", name)]
        return {(ports[one["port"]], one["path"]) for one in asked}

    def close(self) -> None:
        """Remove everything, volumes included."""
        for path in reversed(self._played):
            self.engine.run("kube", "down", "--force", str(path), check=False)
        # Podman keeps one volume per pod, and removes them depending on the pods' order.
        self.engine.run("volume", "rm", "--force", *(one["metadata"]["name"] for one in self._mounted()), check=False)
        self.engine.run("network", "rm", "--force", NETWORK, check=False)
