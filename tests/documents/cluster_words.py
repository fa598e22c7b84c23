"""What is wrong with one call of kubectl: verbs and flags as kubectl has them, names as `k8s/` has them."""

import itertools
import re

from tests.documents import apart, programs, sources
from tests.documents.documents import ROOT

KUBECTL_FLAGS = {
    "logs": "--all-pods --ignore-errors --since --tail --previous --prefix --max-log-requests -l -f -n",
    "exec": "-it -i -n",
    "get": "-l -o -n --sort-by",
    "describe": "-l -n",
    "top pods": "-l -n",
    "scale": "--replicas -n",
    "annotate": "--overwrite -n",
    "patch": "--type --patch-file -p -n",
    "delete": "--ignore-not-found -k -n",
    "rollout restart": "-n",
    "rollout status": "--timeout -n",
    "rollout history": "-n",
    "rollout undo": "-n",
    "set resources": "--limits -n",
    # Of those who deploy.
    "apply": "-f -k -l -n",
    "create secret generic": "--from-env-file -n",
    "create secret docker-registry": "--from-file -n",
    "wait": "--for --timeout --all -n",
    "port-forward": "-n",
}
_WITHOUT_NAMESPACE = ("apply",)
_NAMESPACES = ("ai-agents-production", "ai-agents-local")
_NAMES: dict[str, tuple[str, ...]] = {
    "deployment": ("ai-agents-api", "ai-agents-worker", "ai-agents-housekeeping", "desk"),
    "scaledobject": ("ai-agents-worker",),
    "secret": ("ai-agents-secrets", "ai-agents-database-owner"),
    "job": ("ai-agents-migrate",),
    "statefulset": ("redis",),
}
_APPS = {*_NAMES["deployment"], *_NAMES["job"]}
KUBERNETES_NAMES = frozenset(name for names in _NAMES.values() for name in names)
_KINDS = {"pods", "pod", "deployment", "secret", "hpa", "scaledobject", "events", "job"}
NO_NAMESPACE, NOT_ALL_PODS = "not in the namespace:", "--all-pods=true is missing"
# Of several pods kubectl reads none behind the first that has no log yet.
WHATEVER_WAITS = "--ignore-errors=true"
# kubectl follows five pods at once, and refuses more; workers are more when there is much to do.
_MANY, ROOM_FOR_MANY = "deployment/ai-agents-worker", "--max-log-requests=20"


def problems(words: list[str]) -> list[str]:
    """What is wrong with one call of kubectl; empty when nothing is."""
    behind = words[words.index("--") + 1 :] if "--" in words else []
    words = words[: words.index("--")] if "--" in words else words
    verb = next((verb for verb in KUBECTL_FLAGS if words[: len(verb.split())] == verb.split()), None)
    if verb is None:
        return [f"kubectl has no such verb here: {' '.join(words[:2])}"]
    rest = words[len(verb.split()) :]
    found = [f"no flag {flag} of kubectl {verb}" for flag in programs.unknown_flags(rest, KUBECTL_FLAGS[verb].split())]
    found += _namespace(verb, rest) + _names(rest) + _kinds(verb, rest)
    if verb == "logs":
        found += _pods_read(rest)
    else:
        files = [after for before, after in itertools.pairwise(rest) if before in ("-k", "-f")]
        found += [f"no file {name}" for name in files if not (ROOT / name).exists()]
    return found + (_run_inside(rest, behind) if verb == "exec" else [])


def _namespace(verb: str, rest: list[str]) -> list[str]:
    given = rest[rest.index("-n") + 1] if "-n" in rest[:-1] else None
    is_named = given in _NAMESPACES or verb in _WITHOUT_NAMESPACE or "-k" in rest
    return [] if is_named else [f"{NO_NAMESPACE} {given}"]


def _kinds(verb: str, rest: list[str]) -> list[str]:
    if verb not in ("get", "describe", "delete", "patch", "annotate") or "-k" in rest:
        return []
    kinds = rest[0].split("/")[0].split(",") if rest else [""]
    return [f"no kind {kind}" for kind in kinds if kind not in _KINDS]


def _pods_read(rest: list[str]) -> list[str]:
    """A deployment's name alone means one pod, and one without a log hides the others. Of housekeeping one works."""
    named = [word for word in rest if word.startswith("deployment/")]
    one_will_do = named == ["deployment/ai-agents-housekeeping"]
    found = [NOT_ALL_PODS] if named and not one_will_do and "--all-pods=true" not in rest else []
    if ("--all-pods=true" in rest or "-l" in rest) and WHATEVER_WAITS not in rest:
        found.append(f"{WHATEVER_WAITS} is missing")
    too_many = "-f" in rest and _MANY in named and ROOM_FOR_MANY not in rest
    return found + ([f"{ROOM_FOR_MANY} is missing"] if too_many else [])


def _run_inside(rest: list[str], behind: list[str]) -> list[str]:
    if not behind:
        return ["nothing to run"]
    # In its own pod Redis is at hand.
    found = programs.problems(["redis-cli", "-h", "redis", *behind[1:]] if "statefulset/redis" in rest else behind)
    if behind[:2] == ["sh", "-c"]:
        found += [problem for call in apart.calls(behind[2]) for problem in programs.problems(call)]
        named = re.findall(r"\$\{?([A-Z_]+)", behind[2])
        found += [f"no setting {name}" for name in named if not _set_in_pods(name)]
    return found


def _set_in_pods(name: str) -> bool:
    return name in sources.settings() or name in ("REDISCLI_AUTH", "REDIS_PASSWORD")


def _names(words: list[str]) -> list[str]:
    text = " ".join(words)
    found = []
    for kind, names in _NAMES.items():
        named = re.findall(rf"(?<![\w.]){kind}[/ ]([a-z][\w-]*)", text)
        found += [f"no {kind} {name}" for name in named if name not in names]
    found += [f"no app {name}" for name in re.findall(r"app=([\w-]+)", text) if name not in _APPS]
    keys = re.findall(r"\.data\.(\w+)", text) + re.findall(r'"([A-Z][A-Z_]+)":', text)
    found += [f"no key {key} in the secret" for key in keys if not (sources.is_setting(key) or _set_in_pods(key))]
    if "autoscaling" in text and not re.search(r"autoscaling\.keda\.sh/paused(?:-replicas)?(?:=\S+|-)", text):
        found.append("no annotation of KEDA's")
    return found
