"""One shell for a whole document: its blocks run in their order, and names that one sets are there for the next.

Beside what `shell.Shell` does between them, the secret is files in SECRETS_DIR for what is read again, and the
environment of the next start for what else is a process's.
"""

import base64
import json
import subprocess
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.settings import WorkerSettings
from config.tenant_reading import PROCESS_KEYS
from devstack.document_tables import PROCESSES
from devstack.postgres_binaries import find_binaries
from devstack.processes import Process
from devstack.state_file import write_state
from devstack.system import System
from tests.kit.kubectl.shell import Shell
from tests.kit.kubectl.state import DEPLOYMENTS, kept_in
from tests.kubernetes.mounts import WHOLE, mounted
from tests.kubernetes.rendering import Rendered

_SETTINGS = frozenset(name for settings in PROCESSES.values() for name in settings.model_fields)
# What is behind a pipe may hide that the part before it failed. That a grep finds nothing is an answer, no failure.
_BEGIN = r"""
set -E -o pipefail
grep() { command grep "$@" || return $(($? == 1 ? 0 : $?)); }
"""
_BLOCK = r"""trap 'printf "%s\t%s\0" "${PIPESTATUS[*]}" "$BASH_COMMAND" >>"$BLOCK.failures"' ERR
{text}
trap - ERR
"""
# A block's own standard input is empty: what reads it must not eat the next blocks.
_RUN = 'source "$BLOCK" </dev/null >"$BLOCK.output" 2>"$BLOCK.complaints"; echo "$DONE"\n'


@dataclass(frozen=True)
class Failure:
    """A pipe in which something failed: each part's status, and the last part."""

    statuses: tuple[int, ...]
    command: str


@dataclass(frozen=True)
class Ran:
    """What a block printed and complained, and what failed in it: a command in the middle too."""

    output: str
    complaints: str
    failures: tuple[Failure, ...]

    @property
    def printed(self) -> str:
        """All that a person sees."""
        return self.output + self.complaints


class TypedCluster(Shell):
    """The cluster with its secrets; `secrets` is a directory with all of them, of which pods have their own parts."""

    def __init__(self, system: System, folder: Path, secrets: Path) -> None:
        super().__init__(system, folder, secrets)
        self.folder, self.secrets = folder, secrets
        self.environment["STANDIN_TOOLS"] = str(find_binaries())
        self.annotations: list[str] = []
        self._patched_at = 0.0

    def _processes(self) -> list[Process]:
        return [*super()._processes(), self.system.redis.process]

    def look(self, reason: str = "Error") -> None:
        """See what runs, and write it down with the secret's keys."""
        super().look(reason)
        environment = self.system.workers[0].environment
        plain = {name: value for name, value in environment.items() if name.lower() in _SETTINGS}
        plain |= {file.name: file.read_text(encoding="utf-8") for file in self.secrets.iterdir() if file.is_file()}
        plain["REDIS_PASSWORD"] = environment["REDISCLI_AUTH"]
        told = {"pods": self._pods, "secrets": plain, "annotations": self.annotations}
        write_state(self.folder, self.system.state | told)

    def carry_out(self) -> None:
        """Do what the last commands ordered."""
        for order in self._orders.read_text(encoding="utf-8").splitlines() if self._orders.exists() else []:
            for annotation in json.loads(order).get("annotations", []):
                name = annotation.split("=")[0]
                self.annotations = [known for known in self.annotations if known != name.rstrip("-")]
                self.annotations += [name] * ("=" in annotation)
        self._carry_out()
        self.look()

    def await_secret(self, seconds: float) -> None:
        """Wait until the last change of the secret is `seconds` old."""
        time.sleep(max(0.0, self._patched_at + seconds - time.monotonic()))

    def _patch(self, values: dict[str, Any]) -> None:
        self._patched_at = time.monotonic()
        encoded = dict(values.get("data", {}))
        of_processes = {
            name: base64.b64decode(encoded.pop(name)).decode()
            for name in list(encoded)
            if (name.lower() in WorkerSettings.model_fields and name not in PROCESS_KEYS) or name == "REDIS_PASSWORD"
        }
        super()._patch({**values, "data": encoded})
        mount(self.secrets)
        if password := of_processes.pop("REDIS_PASSWORD", None):
            self.system.redis.change_password(password)
            of_processes |= {"REDISCLI_AUTH": password, "REDIS_URL": self.system.redis.url}
        self.system.configure(of_processes)


class Session:
    """A person's bash, with a document's blocks as its input."""

    def __init__(self, cluster: TypedCluster) -> None:
        self._cluster = cluster
        cluster.look()
        self._bash = subprocess.Popen(
            ["bash", "--norc"],
            env=cluster.environment | {"HOME": str(cluster.folder)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._bash.stdin is not None
        self._bash.stdin.write(_BEGIN)

    def run(self, text: str) -> Ran:
        """Run one block. What it ordered is carried out when this returns."""
        assert self._bash.stdin is not None
        assert self._bash.stdout is not None
        done = uuid.uuid4().hex
        block = self._cluster.folder / f"block-{done}"
        block.write_text(_BLOCK.replace("{text}", text), encoding="utf-8")
        self._bash.stdin.write(f'BLOCK="{block}" DONE={done}\n{_RUN}')
        self._bash.stdin.flush()
        answer = self._bash.stdout.readline().strip()
        assert answer == done, f"the shell ended: {text}"
        self._cluster.carry_out()
        output, complaints, failures = (
            path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
            for path in (block.with_suffix(f".{kind}") for kind in ("output", "complaints", "failures"))
        )
        return Ran(output, complaints, tuple(map(_failure, filter(None, failures.split("\0")))))

    def close(self) -> None:
        """End the shell."""
        self._bash.communicate()


def _failure(told: str) -> Failure:
    statuses, _, command = told.partition("\t")
    return Failure(tuple(map(int, statuses.split())), command)


def in_pod(deployment: str, secrets: Path) -> Path:
    """Return the directory that the pods of a deployment have as SECRETS_DIR."""
    return secrets.with_name(f"{secrets.name}-of-{deployment}")


def mount(secrets: Path) -> None:
    """Give the pods of each deployment those of all settings that its manifest mounts."""
    manifests = Rendered("production")
    every = {file.name: file.read_text(encoding="utf-8") for file in secrets.iterdir() if file.is_file()}
    for deployment in DEPLOYMENTS:
        folder = in_pod(deployment, secrets)
        # As in a mount of Kubernetes, into which no process of a pod writes.
        (folder / "..data").mkdir(parents=True, exist_ok=True)
        keys = mounted(manifests, deployment)
        _write(folder, {name: value for name, value in every.items() if _is_mounted(name, keys)})


def _is_mounted(setting: str, keys: Mapping[str, set[str]]) -> bool:
    kind, name = kept_in(setting)
    return kind == "configmap" or bool({WHOLE, setting} & keys.get(name, set()))


def restore(secrets: Path, values: dict[str, str]) -> bool:
    """Make the files of all secrets these, and those of the pods; whether anything had to be changed."""
    changed = _write(secrets, values)
    mount(secrets)
    return changed


def _write(secrets: Path, values: Mapping[str, str]) -> bool:
    changed = False
    for file in filter(Path.is_file, secrets.iterdir()):
        if file.name not in values:
            file.unlink()
            changed = True
    for name, value in values.items():
        path = secrets / name
        if not path.exists() or path.read_text(encoding="utf-8") != value:
            beside = secrets.parent / f"{name}.new"
            beside.write_text(value, encoding="utf-8")
            beside.replace(path)
            changed = True
    return changed
