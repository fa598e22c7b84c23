"""Secrets of pods: their mounted directory and variables."""

from collections.abc import Mapping
from pathlib import Path

from tests.kubernetes.rendering import Object, Rendered

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
