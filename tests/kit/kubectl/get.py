"""`kubectl get`, `describe` and `top`."""

import re
import sys
from pathlib import Path

from tests.kit.kubectl.arguments import Command, NotDone, parse
from tests.kit.kubectl.state import DEPLOYMENTS, Cluster, Life, Pod, read_cluster

_KINDS = {
    "pod": "pods", "po": "pods", "pods": "pods", "secret": "secret", "secrets": "secret", "hpa": "hpa",
    "configmap": "configmap", "configmaps": "configmap", "cm": "configmap",
    "deployment": "deployments", "deployments": "deployments", "deploy": "deployments",
    "scaledobject": "scaledobjects", "scaledobjects": "scaledobjects", "so": "scaledobjects",
    "event": "events", "events": "events", "ev": "events",
}  # fmt: skip
_JSONPATH = re.compile(r"jsonpath=\{\.data\.([A-Za-z0-9_-]+)\}")
_POD_NAME = re.compile(r"jsonpath=\{\.items\[(-?\d+):?\]\.metadata\.name\}")
_OOM = 137


def get(words: list[str]) -> int:
    """Print a table of pods, deployments or autoscalers, or a key of the secret."""
    command = parse("get", words, values="output selector sort-by", switches="watch show-labels")
    cluster = read_cluster()
    kind, names = _kind_and_names(command)
    if kind in ("secret", "configmap"):
        return _key(cluster, command, kind, names)
    selected = cluster.selected(command.flags.get("selector"))
    if kind == "pods" and (path := _POD_NAME.fullmatch(command.flags.get("output", ""))):
        # Sorted by restarts, where that is asked for.
        pods = sorted(selected, key=lambda pod: pod.restarts) if "sort-by" in command.flags else selected
        sys.stdout.write(pods[int(path[1])].name if pods else "")
        return 0
    if kind == "pods" and not names:
        names = [pod.name for pod in selected]
    if "output" in command.flags and command.flags["output"] != "wide":
        raise NotDone(f"error: this stand-in does not print {command.flags['output']}")
    if kind == "events":
        sys.stderr.write("No resources found in ai-agents-production namespace.\n")
        return 0
    tables = {"pods": _pods, "deployments": _deployments, "hpa": _autoscalers, "scaledobjects": _scaled_objects}
    _print_table(tables[kind](cluster, names))
    return 0


def describe(words: list[str]) -> int:
    """Print what matters of a pod: its container's state and the last one's."""
    command = parse("describe", words, values="selector")
    kind, names = _kind_and_names(command)
    if kind != "pods":
        raise NotDone("error: this stand-in describes pods")
    cluster = read_cluster()
    for pod in map(cluster.pod, names) if names else cluster.selected(command.flags.get("selector")):
        lines = [f"Name:             {pod.name}", "Namespace:        ai-agents-production", "Containers:"]
        lines += [f"  {pod.container}:", *_described(pod), "    Limits:", "      memory:       1Gi"]
        sys.stdout.write("\n".join(lines) + "\n")
    return 0


def top(words: list[str]) -> int:
    """Print the memory of pods as the machine has it."""
    command = parse("top", words, values="selector", switches="containers")
    if _KINDS.get((command.names or [""])[0]) != "pods":
        raise NotDone('error: unknown command for "kubectl top"')
    pods = read_cluster().selected(command.flags.get("selector"))
    rows = [(pod.name, "5m", f"{_megabytes(pod.pid)}Mi") for pod in pods if pod.runs]
    _print_table([("NAME", "CPU(cores)", "MEMORY(bytes)"), *rows])
    return 0


def _kind_and_names(command: Command) -> tuple[str, list[str]]:
    if not command.names:
        raise NotDone("error: Required resource not specified.")
    first, *names = command.names
    kind, slash, name = first.partition("/")
    if kind not in _KINDS:
        raise NotDone(f'error: the server doesn\'t have a resource type "{kind}"')
    return _KINDS[kind], [name] if slash else names


def _key(cluster: Cluster, command: Command, kind: str, names: list[str]) -> int:
    keys = cluster.keys(kind, " ".join(names))
    wanted = _JSONPATH.fullmatch(command.flags.get("output", ""))
    if wanted is None:
        raise NotDone("error: this stand-in prints one key: -o jsonpath='{.data.KEY}'")
    # Kubernetes prints nothing for a key that there is not.
    sys.stdout.write(keys.get(wanted[1], ""))
    return 0


def _pods(cluster: Cluster, names: list[str]) -> list[tuple[str, ...]]:
    pods = [cluster.pod(name) for name in names] if names else list(cluster.pods)
    rows = [(pod.name, f"{int(cluster.is_ready(pod))}/1", pod.status, str(pod.restarts), "2d") for pod in pods]
    return [("NAME", "READY", "STATUS", "RESTARTS", "AGE"), *rows]


def _deployments(cluster: Cluster, names: list[str]) -> list[tuple[str, ...]]:
    rows = []
    for name in names or DEPLOYMENTS:
        pods = cluster.of(name)
        ready = str(sum(pod.runs for pod in pods))
        rows.append((name, f"{ready}/{len(pods)}", str(len(pods)), ready, "2d"))
    return [("NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"), *rows]


def _autoscalers(cluster: Cluster, names: list[str]) -> list[tuple[str, ...]]:
    name = "keda-hpa-ai-agents-worker"
    if names not in ([], [name]):
        raise NotDone(f'Error from server (NotFound): horizontalpodautoscalers.autoscaling "{names[0]}" not found')
    count = str(len(cluster.of("ai-agents-worker")))
    head = ("NAME", "REFERENCE", "TARGETS", "MINPODS", "MAXPODS", "REPLICAS", "AGE")
    return [head, (name, "Deployment/ai-agents-worker", "0/5 (avg)", "1", "20", count, "2d")]


def _scaled_objects(cluster: Cluster, names: list[str]) -> list[tuple[str, ...]]:
    if names not in ([], ["ai-agents-worker"]):
        raise NotDone(f'Error from server (NotFound): scaledobjects.keda.sh "{names[0]}" not found')
    paused = any("paused" in name for name in cluster.state.get("annotations", []))
    head = ("NAME", "SCALETARGETNAME", "MIN", "MAX", "READY", "ACTIVE", "PAUSED", "AGE")
    return [head, ("ai-agents-worker", "ai-agents-worker", "1", "20", "True", "True", str(paused), "2d")]


def _print_table(rows: list[tuple[str, ...]]) -> None:
    widths = [max(map(len, column)) + 3 for column in zip(*rows, strict=True)]
    for row in rows:
        sys.stdout.write("".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + "\n")


def _described(pod: Pod) -> list[str]:
    if pod.waits:
        return ["    State:          Waiting", f"      Reason:       {pod.waits}"]
    lines = ["    State:          Running"] if pod.runs else _ended("State", pod.lives[-1])
    if pod.restarts:
        if not pod.runs:
            lines = ["    State:          Waiting", "      Reason:       CrashLoopBackOff"]
        lines += _ended("Last State", pod.lives[-2 if pod.runs else -1])
    return [*lines, f"    Ready:          {pod.runs}", f"    Restart Count:  {pod.restarts}"]


def _ended(label: str, life: Life) -> list[str]:
    return [
        f"    {label + ':':<15} Terminated",
        f"      Reason:       {life.reason}",
        f"      Exit Code:    {_OOM if life.exit is None else life.exit}",
    ]


def _megabytes(pid: int) -> int:
    try:
        found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(encoding="utf-8"))
    except OSError:
        found = None
    return int(found[1]) // 1024 if found else 0
