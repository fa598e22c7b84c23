"""A support person's shell: bash, with the stand-in first on PATH as `kubectl`.

It also is the kubelet of the stand-in's cluster: it sees which process died and was started anew, and carries out what
a command ordered.
"""

import base64
import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devstack.processes import Process
from devstack.state_file import write_state
from devstack.system import System

_PROJECT = Path(__file__).resolve().parents[3]
_GRACE_SECONDS = 8


@dataclass(frozen=True)
class Done:
    """What a command printed, and its status (of a pipe: the last part's)."""

    command: str
    output: str
    complaints: str
    status: int

    @property
    def lines(self) -> list[str]:
        """The lines that it printed."""
        return self.output.splitlines()


class Shell:
    """Runs commands on the running `system`. `folder` is its own, for the stand-in's files.

    `secrets` is the directory that the processes have as SECRETS_DIR, for `patch secret`.
    """

    def __init__(self, system: System, folder: Path, secrets: Path | None = None) -> None:
        self.system = system
        self._folder = folder
        self._secrets = secrets
        self._pods: dict[str, dict[str, Any]] = {}
        self._held: dict[str, str] = {}
        self._surging: dict[str, str] = {}
        self._orders = folder / "orders"
        tools = folder / "bin"
        tools.mkdir()
        kubectl = tools / "kubectl"
        program = Path(__file__).with_name("__main__.py")
        script = f'PYTHONPATH="{_PROJECT}" exec "{sys.executable}" -SP "{program}" "$@"'
        kubectl.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        kubectl.chmod(kubectl.stat().st_mode | stat.S_IXUSR)
        self.environment = {
            "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
            "KUBECTL_STATE": str(folder / "state.json"),
            "KUBECTL_ORDERS": str(self._orders),
        }

    def run(self, command: str, seconds: float = 30) -> Done:
        """Type a command and wait for its end; what it ordered is carried out when this returns."""
        self.look()
        done = subprocess.run(
            ["bash", "-c", command],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds,
        )
        self._carry_out()
        return Done(command, done.stdout, done.stderr, done.returncode)

    def look(self, reason: str = "Error") -> None:
        """See which processes live, died or were started anew; `reason` is what one is said to have died of."""
        for process in self._processes():
            self._look_at(process, reason)
        here = {process.name for process in self._processes()}
        self._pods = {name: pod for name, pod in self._pods.items() if name in here}
        self._pods |= {name: {"revision": 1, "lives": [], "waits": why} for name, why in self._surging.items()}
        write_state(self._folder, self.system.state | {"pods": self._pods})

    def _processes(self) -> list[Process]:
        """Those that are pods."""
        return [self.system.api, *self.system.workers, self.system.housekeeping]

    def hold(self, process: Process, state: str) -> None:
        """Until it is started the next time there is a pod for it without a container; `state` is why."""
        self._held[process.name] = state

    @contextmanager
    def surging(self, process: Process, state: str) -> Iterator[None]:
        """Beside the process there is another pod of its deployment, without a container; `state` is why."""
        name = f"{process.name}-new"
        self._surging[name] = state
        yield
        del self._surging[name]

    def _look_at(self, process: Process, reason: str) -> None:
        if process.running:
            self._held.pop(process.name, None)
        if process.name in self._held:
            self._pods[process.name] = {"revision": 1, "lives": [], "waits": self._held[process.name]}
            return
        if not process.running and not process.died:
            self._pods.pop(process.name, None)
            return
        pod = self._pods.setdefault(process.name, {"revision": 1, "lives": []})
        pod.pop("waits", None)
        lives = pod["lives"]
        if not lives or lives[-1]["pid"] != process.pid:
            if lives and lives[-1]["exit"] is None:
                lives[-1] |= {"exit": 137, "reason": reason}
            environment = dict(process.begun.environment)
            lives.append({"start": process.log_start, "pid": process.pid, "exit": None, "environment": environment})
        if process.died and lives[-1]["exit"] is None:
            status = process.returncode or 0
            lives[-1] |= {"exit": 128 - status if status < 0 else status, "reason": reason}

    def _carry_out(self) -> None:
        if not self._orders.exists():
            return
        orders = self._orders.read_text(encoding="utf-8").splitlines()
        self._orders.unlink()
        for order in map(json.loads, orders):
            match order["verb"]:
                case "scale":
                    self._scale(order["deployment"], order["replicas"])
                case "restart":
                    for process in self._of(order["workload"]):
                        self._replace(process)
                case "delete":
                    self._replace(self._named(order["process"]))
                case "patch":
                    self._patch(order["values"])

    def _of(self, workload: str) -> list[Process]:
        system = self.system
        every = {
            "ai-agents-api": [system.api],
            "ai-agents-worker": system.workers,
            "ai-agents-housekeeping": [system.housekeeping],
            "redis": [system.redis.process],
        }
        return [one for one in every[workload] if one.running or one.died or one.name in self._held]

    def _named(self, name: str) -> Process:
        return next(process for process in self._processes() if process.name == name)

    def _replace(self, process: Process) -> None:
        """A new pod in place of the old one."""
        self.system.restart(process)
        self._pods[process.name] = {"revision": self._pods[process.name]["revision"] + 1, "lives": []}

    def _scale(self, deployment: str, replicas: int) -> None:
        """Start or stop processes, as a deployment does; there is one API at the most."""
        if deployment == "ai-agents-api":
            api = self.system.api
            if not replicas:
                api.stop(_GRACE_SECONDS)
            elif not api.running:
                self.system.restart(api)
            return
        if deployment != "ai-agents-worker":
            raise NotImplementedError(f"this cluster does not scale {deployment}")
        running = self._of(deployment)
        for process in running[replicas:]:
            process.stop(_GRACE_SECONDS)
        idle = [worker for worker in self.system.workers if worker not in running]
        for _ in range(replicas - len(running)):
            if idle:
                self.system.restart(idle.pop(0))
            else:
                self.system.add_worker()

    def _patch(self, values: dict[str, Any]) -> None:
        if self._secrets is None:
            raise NotImplementedError("the processes have no SECRETS_DIR")
        decoded = {name: value and base64.b64decode(value).decode() for name, value in values.get("data", {}).items()}
        for name, value in (decoded | values.get("stringData", {})).items():
            file = self._secrets / name
            if value is None:
                file.unlink(missing_ok=True)
            else:
                file.write_text(value, encoding="utf-8")
