"""The compose files, .env.example and the Dockerfile, parsed."""

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
COMPOSE_TEXT = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(COMPOSE_TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


class _Loader(yaml.SafeLoader):
    """YAML with Compose's tag `!reset`."""


_Loader.add_constructor("!reset", lambda _loader, _node: None)
PILOT_TEXT = (ROOT / "compose.pilot.yml").read_text(encoding="utf-8")
PILOT: dict[str, dict[str, Any]] = yaml.load(PILOT_TEXT, _Loader)["services"]  # noqa: S506 -- a safe loader
EXAMPLE = (ROOT / ".env.example").read_text(encoding="utf-8")

PAGE = (ROOT / "docs" / "containers.md").read_text(encoding="utf-8")
COMMANDS = [
    line for block in re.findall(r"^```sh\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE) for line in block.splitlines()
]
"""What the page on containers tells people to type."""

OURS = [name for name, service in SERVICES.items() if service["image"].startswith("ai-agents")]
THEIRS = [name for name in SERVICES if name not in OURS]
BASE: str = re.findall(r"^ARG BASE=(\S+)$", DOCKERFILE, re.MULTILINE)[0]


def settings(service: str, given: dict[str, str] | None = None) -> dict[str, str]:
    """Return a service's environment of the compose file, with `given` in .env."""
    return {name: filled(str(value), given or {}) for name, value in SERVICES[service]["environment"].items()}


def filled(text: str, given: dict[str, str]) -> str:
    """Return `text` as Compose expands it: `${NAME:-default}` and `${NAME-default}`."""

    def value(place: re.Match[str]) -> str:
        name, colon, default = place.groups()
        return given.get(name, default) if not colon else given.get(name) or default

    return re.sub(r"\$\{([A-Z0-9_]+)(:?)-([^}]*)\}", value, text)


def example(*, commented_too: bool = False) -> dict[str, str]:
    """Return the variables of .env.example, optionally with those commented out."""
    pattern = r"^#?([A-Z0-9_]+)=(.*)$" if commented_too else r"^([A-Z0-9_]+)=(.*)$"
    return {name: value.strip("'") for name, value in re.findall(pattern, EXAMPLE, re.MULTILINE)}


def example_files() -> dict[str, dict[str, str]]:
    """Return the files beside .env that .env.example describes, by name."""
    files: dict[str, dict[str, str]] = {}
    for name, section in re.findall(r"^# (\.env\.[a-z]+), for (.*?)(?=^# )", EXAMPLE, re.MULTILINE | re.DOTALL):
        found = re.findall(r"^#([A-Z0-9_]+)=(.*)$", section, re.MULTILINE)
        files[name] = {setting: value.strip("'") for setting, value in found}
    return files


def environment(service: str, given: dict[str, str] | None = None) -> dict[str, str]:
    """Return a service's non-empty variables with the example's files.

    `given` is in .env.
    """
    files = [example_files()[file["path"]] for file in SERVICES[service].get("env_file", [])]
    values = {name: value for file in files for name, value in file.items()} | settings(service, given)
    return {name: value for name, value in values.items() if value}


def let_in() -> list[str]:
    """Return the paths that .dockerignore admits to a build."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    return [line.removeprefix("!") for line in lines if line.startswith("!")]
