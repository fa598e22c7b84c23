"""The local overlay in Podman, which plays what Kubernetes would be given."""

import copy
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from devstack.ports import free_port
from tests.containers.engine import Engine
from tests.kubernetes.rendering import Rendered

NETWORK = "ai-agents-test-kube"
SERVERS = ("redis", "postgres")


def for_podman(workload: dict[str, Any], environment: dict[str, str]) -> dict[str, Any]:
    """A deployment or job without what Podman does not do as Kubernetes does.

    It puts no values into variables, knows no `fsGroup`, and asks over HTTP with curl, which the image has not.
    """
    changed = copy.deepcopy(workload)
    spec = changed["spec"]["template"]["spec"]
    for volume in spec.get("volumes", []):
        if "secret" in volume:
            volume["secret"]["defaultMode"] = 0o444
    for container in spec["containers"]:
        for variable in container.get("env", []):
            if "value" in variable:
                variable["value"] = environment[variable["name"]]
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            container.pop(probe, None)
    return changed


class Kube:
    """The pods that were played. `desk` is where this machine reaches the simulated desk."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self.engine = engine
        self.rendered = Rendered("local")
        self._folder = folder
        self._port = free_port()
        self.desk = f"http://127.0.0.1:{self._port}"
        self._played: list[Path] = []

    def open(self) -> None:
        """The network, and in it Redis and Postgres: what stands in for their images may want to begin as root."""
        self.close()
        self.engine.run("network", "create", NETWORK)
        secrets = self.rendered.secret("ai-agents-secrets")
        config = self._file("redis.conf", self.rendered.one("ConfigMap", "redis")["data"]["redis.conf"])
        command = [secrets["REDIS_PASSWORD"] if "$(" in word else word for word in self._container("redis")["command"]]
        self._serve("redis", [f"{config}:{command[1]}:ro"], {}, command)
        roles = self._file("roles.sql", self.rendered.one("ConfigMap", "postgres-roles")["data"]["roles.sql"])
        given = {one["name"]: one["value"] for one in self._container("postgres")["env"] if one["name"] != "PGDATA"}
        self._serve("postgres", [f"{roles}:/docker-entrypoint-initdb.d/roles.sql:ro"], given, [])

    def _container(self, name: str) -> dict[str, Any]:
        return self.rendered.container(name)

    def _file(self, name: str, text: str) -> Path:
        path = self._folder / name
        path.write_text(text, encoding="utf-8")
        path.chmod(0o644)
        return path

    def _serve(self, name: str, mounts: Iterable[str], environment: dict[str, str], command: list[str]) -> None:
        options = [part for mount in mounts for part in ("--volume", mount)]
        options += [part for key, value in environment.items() for part in ("--env", f"{key}={value}")]
        names = ["--name", f"{NETWORK}-{name}", "--network", f"{NETWORK}:alias={name}"]
        self.engine.run("run", "--detach", *names, *options, self._container(name)["image"], *command)

    def play(self, name: str) -> None:
        """Start a deployment or a job, reached by its service's name."""
        secrets = {one: self.rendered.secret(one) for one in ("ai-agents-secrets", "ai-agents-database-owner")}
        (workload,) = [
            one for kind in ("Deployment", "Job") for one in self.rendered.of(kind) if one["metadata"]["name"] == name
        ]
        objects = [*self.rendered.of("ConfigMap"), *self.rendered.of("Secret")]
        objects.append(for_podman(workload, self.rendered.environment(name, secrets)))
        path = self._file(f"{name}.yaml", yaml.safe_dump_all(objects))
        published = ["--publish", f"127.0.0.1:{self._port}:8080"] if name == "desk" else []
        self.engine.run("kube", "play", "--network", f"{NETWORK}:alias={name}", *published, str(path))
        self._played.append(path)

    def name(self, workload: str) -> str:
        """What Podman calls its container."""
        return f"{workload}-pod-{self._container(workload)['name']}"

    def exec(self, workload: str, *words: str, check: bool = True) -> str:
        """Run a command in its container; what it prints."""
        return self.engine.run("exec", self.name(workload), *words, check=check).stdout.strip()

    def logs(self, workload: str) -> str:
        """All lines of its container."""
        return self.engine.output("logs", self.name(workload))

    def paths(self, workload: str) -> set[tuple[int, str]]:
        """The ports and paths that its probes ask."""
        (container,) = self.rendered.pod(workload)["spec"]["containers"]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        asked = [probe["httpGet"] for name, probe in container.items() if re.fullmatch(r"\w+Probe", name)]
        return {(ports[one["port"]], one["path"]) for one in asked}

    def close(self) -> None:
        """Everything away, with what was kept."""
        for path in reversed(self._played):
            self.engine.run("kube", "down", "--force", str(path), check=False)
        self.engine.run("rm", "--force", "--volumes", *(f"{NETWORK}-{name}" for name in SERVERS), check=False)
        self.engine.run("network", "rm", "--force", NETWORK, check=False)
