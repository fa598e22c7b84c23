"""The cluster as `state.json` tells it: which process is which pod, and where its log is.

Beside what the devstack writes, the file has `pods`: process name -> `{"revision": 1, "lives": [{"start": 0,
"pid": 1, "exit": 137, "reason": "OOMKilled", "environment": {...}}, ...]}`. A life is one container of the pod: `start`
is the byte in the log where it begins, `exit` its status (null while it runs). A pod that has none yet `waits`: for
what, as `get pods` says it.
"""

import base64
import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.kit.kubectl.arguments import NotDone

PREFIX = "ai-agents-"
DEPLOYMENTS = ("ai-agents-api", "ai-agents-worker", "ai-agents-housekeeping")
_KEPT_IN = {
    "SERVICEDESK_(API_KEY|CLIENT_|REFRESH_TOKEN).*": "ai-agents-desk-secrets",
    "OPENAI_(FALLBACK_)?API_KEY.*|EMBEDDINGS_API_KEY": "ai-agents-model-secrets",
    "CONSOLE_.*": "ai-agents-console-secrets",
    "(PREVIOUS_|RETIRED_)?WEBHOOK_(SECRET|TOKEN)_.*|FEEDBACK_.*|DATABASE_URL|REDIS_.*": "ai-agents-secrets",
}
TENANTS = "ai-agents-tenants"
STATEFUL_SETS = ("redis",)
_KINDS = {
    "pod": "pod", "pods": "pod", "po": "pod",
    "deployment": "deployment", "deployments": "deployment", "deploy": "deployment",
    "statefulset": "statefulset", "statefulsets": "statefulset", "sts": "statefulset",
}  # fmt: skip
# What Redis is here.
_REDIS_PROCESS = "valkey"
# A process that stands still does not answer.
_PROBE_SECONDS = 2.0


@dataclass(frozen=True)
class Life:
    """One container of a pod. `end` is where the next one's lines begin."""

    start: int
    end: int | None
    pid: int
    exit: int | None
    reason: str
    environment: dict[str, str]


@dataclass(frozen=True)
class Pod:
    """One process in its pod."""

    process: str
    revision: int
    log: Path
    lives: tuple[Life, ...]
    waits: str = ""

    @property
    def deployment(self) -> str:
        """What made it; of Redis's that is a stateful set."""
        if self.process == _REDIS_PROCESS:
            return "redis"
        return PREFIX + self.process.split("-", 1)[0]

    @property
    def container(self) -> str:
        return self.deployment.removeprefix(PREFIX)

    @property
    def name(self) -> str:
        if self.deployment in STATEFUL_SETS:
            return f"{self.deployment}-0"
        template = hashlib.sha256(self.deployment.encode()).hexdigest()[:9]
        return f"{self.deployment}-{template}-{self._letters(f'{self.process} {self.revision}')}"

    @property
    def pid(self) -> int:
        return self.lives[-1].pid

    @property
    def environment(self) -> dict[str, str]:
        return self.lives[-1].environment

    @property
    def runs(self) -> bool:
        return not self.waits and self.lives[-1].exit is None

    @property
    def restarts(self) -> int:
        return max(0, len(self.lives) - 1)

    @property
    def status(self) -> str:
        """What `get pods` calls it: a container that died again and again is waited for longer and longer."""
        if self.waits:
            return self.waits
        if self.runs:
            return "Running"
        return "CrashLoopBackOff" if self.restarts > 1 else self.lives[-1].reason

    def text(self, *, previous: bool = False) -> str:
        """What its container printed. Raises NotDone without a previous one."""
        if self.waits and not previous:
            raise NotDone(
                f'Error from server (BadRequest): container "{self.container}" in pod "{self.name}" is waiting to start'
            )
        if previous and len(self.lives) < 2:
            raise NotDone(
                f'Error from server (BadRequest): previous terminated container "{self.container}" in pod'
                f' "{self.name}" not found'
            )
        life = self.lives[-2 if previous else -1]
        with self.log.open("rb") as file:
            file.seek(life.start)
            return file.read(-1 if life.end is None else life.end - life.start).decode(errors="replace")

    @staticmethod
    def _letters(text: str) -> str:
        digest = hashlib.sha256(text.encode()).digest()
        return "".join("bcdfghjklmnpqrstvwxz2456789"[byte % 27] for byte in digest[:5])


@dataclass(frozen=True)
class Cluster:
    """All that the file says."""

    state: dict[str, Any]
    pods: tuple[Pod, ...]

    def of(self, deployment: str) -> list[Pod]:
        """The pods of a deployment, those that run first. Raises NotDone for a name that there is not."""
        if deployment not in DEPLOYMENTS:
            raise NotDone(f'Error from server (NotFound): deployments.apps "{deployment}" not found')
        found = [pod for pod in self.pods if pod.deployment == deployment]
        return sorted(found, key=lambda pod: not pod.runs)

    def selected(self, selector: str | None) -> list[Pod]:
        """The pods that a selector `app=NAME` means; all without one."""
        label, _, value = (selector or "").partition("=")
        return [pod for pod in self.pods if not selector or (label == "app" and pod.deployment == value)]

    def pod(self, name: str) -> Pod:
        """The pod of that name. Raises NotDone."""
        for pod in self.pods:
            if pod.name == name:
                return pod
        raise NotDone(f'Error from server (NotFound): pods "{name}" not found')

    def target(self, word: str) -> list[Pod]:
        """What `POD`, `pod/POD` or `deployment/NAME` means; a deployment's first is ready if one is. Raises NotDone."""
        kind, name = typed(word) if "/" in word else ("pod", word)
        if kind == "pod":
            return [self.pod(name)]
        if kind == "statefulset":
            return [self.pod(f"{name}-0")]
        found = self.of(name)
        if not found:
            raise NotDone("error: timed out waiting for the condition")
        return sorted(found, key=lambda pod: not self.is_ready(pod)) if len(found) > 1 else found

    def is_ready(self, pod: Pod) -> bool:
        """Asks what the readiness probe asks, where there is an address."""
        api = "/health/ready", self.state.get("api_probe_url")
        path, address = api if pod.process == "api" else ("/ready", self.state.get("metrics", {}).get(pod.process))
        if not pod.runs or not address:
            return pod.runs
        import http.client  # noqa: PLC0415 -- most commands ask nobody

        connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=_PROBE_SECONDS)
        try:
            connection.request("GET", path)
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def keys(self, kind: str, name: str) -> dict[str, str]:
        """The keys of a secret, encoded as Kubernetes gives them, or of a ConfigMap. Raises NotDone."""
        if (kind, name) not in {("configmap", TENANTS), *(("secret", known) for known in _KEPT_IN.values())}:
            raise NotDone(f'Error from server (NotFound): {kind}s "{name}" not found')
        plain = {"DATABASE_URL": self.state["database_url"], "REDIS_URL": self.state["redis_url"]}
        for tenant, secret in self.state["tenants"].items():
            plain[f"WEBHOOK_SECRET_{tenant.upper().replace('-', '_')}"] = secret
        plain |= self.state.get("secrets", {})
        own = {key: value for key, value in sorted(plain.items()) if kept_in(key) == (kind, name)}
        return own if kind == "configmap" else {k: base64.b64encode(v.encode()).decode() for k, v in own.items()}


def kept_in(setting: str) -> tuple[str, str]:
    """Return the kind and the name of the object that has this setting: a secret, or the map of tenants' others."""
    name = next((name for pattern, name in _KEPT_IN.items() if re.fullmatch(pattern, setting)), "")
    return ("secret", name) if name else ("configmap", TENANTS)


def typed(word: str) -> tuple[str, str]:
    """`TYPE/NAME` with the type's full name. Raises NotDone for a type that is not known here."""
    kind, _, name = word.partition("/")
    if kind not in _KINDS:
        raise NotDone(f'error: the server doesn\'t have a resource type "{kind}"')
    return _KINDS[kind], name


def read_cluster() -> Cluster:
    """Read the file that `KUBECTL_STATE` names. Raises NotDone when there is none."""
    path = os.environ.get("KUBECTL_STATE", "")
    try:
        state = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise NotDone(
            "The connection to the server localhost:8080 was refused - did you specify the right host or port?"
        ) from None
    return Cluster(state, tuple(_pods(state)))


def _pods(state: dict[str, Any]) -> list[Pod]:
    return [_pod(name, Path(state["logs"].get(name, os.devnull)), told) for name, told in state["pods"].items()]


def _pod(name: str, log: Path, told: dict[str, Any]) -> Pod:
    starts = [life["start"] for life in told["lives"]]
    lives = [
        Life(
            life["start"], end, life["pid"], life.get("exit"), life.get("reason", "Error"), life.get("environment", {})
        )
        for life, end in zip(told["lives"], [*starts, None][1:], strict=True)
    ]
    return Pod(name, told["revision"], log, tuple(lives), told.get("waits", ""))
