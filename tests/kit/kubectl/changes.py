"""The commands that change something. Each is an order, which who runs the processes carries out."""

import json
import os
import sys
from pathlib import Path
from typing import Any

from tests.kit.kubectl.arguments import NotDone, parse
from tests.kit.kubectl.state import DEPLOYMENTS, STATEFUL_SETS, kept_in, read_cluster, typed

_SCALED_OBJECT = "ai-agents-worker"
_WORKLOADS = {"deployment": DEPLOYMENTS, "statefulset": STATEFUL_SETS}
_ROLLED_OUT = {
    "deployment": 'deployment "{name}" successfully rolled out',
    "statefulset": "statefulset rolling update complete 1 pods at revision {name}-7f6c9d5b8...",
}


def scale(words: list[str]) -> int:
    """`scale deployment/NAME --replicas=N`."""
    command = parse("scale", words, values="replicas")
    if "replicas" not in command.flags:
        raise NotDone('error: required flag(s) "replicas" not set')
    name = _deployment(command.names)
    _order("scale", deployment=name, replicas=command.number("replicas", 1))
    return _said(f"deployment.apps/{name} scaled")


def annotate(words: list[str]) -> int:
    """`annotate scaledobject NAME KEY=VALUE`, or `KEY-` to take it away."""
    command = parse("annotate", words, switches="overwrite")
    first, *rest = command.names or [""]
    kind, slash, name = first.partition("/")
    if not slash and rest:
        name = rest.pop(0)
    if kind not in {"scaledobject", "scaledobjects", "so"}:
        raise NotDone(f'error: the server doesn\'t have a resource type "{kind}"')
    if not rest or not all("=" in word or word.endswith("-") for word in rest):
        raise NotDone("error: at least one annotation update is required")
    if name != _SCALED_OBJECT:
        raise NotDone(f'Error from server (NotFound): scaledobjects.keda.sh "{name}" not found')
    _order("annotate", name=name, annotations=rest)
    return _said(f"scaledobject.keda.sh/{name} annotated")


def rollout(words: list[str]) -> int:
    """`rollout restart deployment/NAME ...` (or `statefulset/NAME`), and `status`, `history` and `undo` of one."""
    action, *rest = words or [""]
    if action not in {"restart", "status", "history", "undo"}:
        raise NotDone(f'error: unknown command "{action}" for "kubectl rollout"')
    command = parse(f"rollout {action}", rest, values="timeout")
    if not command.names:
        raise NotDone("error: required resource not specified")
    words = command.names if "/" in command.names[0] else ["/".join(command.names)]
    for kind, name in map(_workload, words):
        if action == "status":
            _said(_ROLLED_OUT[kind].format(name=name))
        elif action == "history":
            _said(f"{kind}.apps/{name} \nREVISION  CHANGE-CAUSE\n1         <none>\n")
        else:
            _order("restart", workload=name)
            _said(f"{kind}.apps/{name} {'rolled back' if action == 'undo' else 'restarted'}")
    return 0


def delete(words: list[str]) -> int:
    """`delete pod NAME`: a new pod takes its place."""
    command = parse("delete", words, values="grace-period", switches="force now")
    kind, *names = command.names or [""]
    if kind not in {"pod", "pods", "po"}:
        raise NotDone(f'error: the server doesn\'t have a resource type "{kind}"')
    if not names:
        raise NotDone("error: resource(s) were provided, but no name was specified")
    cluster = read_cluster()
    for name in names:
        _order("delete", process=cluster.pod(name).process)
        _said(f'pod "{name}" deleted')
    return 0


def set_resources(words: list[str]) -> int:
    """`set resources deployment NAME --limits=memory=1Gi`: a rollout, since the pods change."""
    if words[:1] != ["resources"]:
        raise NotDone('error: unknown command for "kubectl set"')
    command = parse("set resources", words[1:], values="limits requests")
    if not {"limits", "requests"} & set(command.flags):
        raise NotDone("error: you must specify an update to requests or limits (in the form of --requests/--limits)")
    name = _deployment(command.names)
    _order("restart", workload=name)
    return _said(f"deployment.apps/{name} resource requirements updated")


def patch(words: list[str]) -> int:
    """`patch secret NAME -p '{"stringData": {...}}'`, or a ConfigMap; a key with null is taken away.

    A key that belongs elsewhere is refused, unlike Kubernetes: no pod that needs it would get it.
    """
    command = parse("patch", words, values="patch patch-file type")
    kind, name = command.names[0], " ".join(command.names[1:])
    read_cluster().keys(kind, name)
    try:
        path = command.flags.get("patch-file")
        values = json.loads(Path(path).read_text(encoding="utf-8") if path else command.flags.get("patch", ""))
    except ValueError:
        raise NotDone("error: unable to parse the patch: it is no JSON") from None
    keys = [key for part in ("data", "stringData") for key in values.get(part, {})]
    if strange := [key for key in keys if kept_in(key) != (kind, name)]:
        raise NotDone(f"error: no pod finds {', '.join(strange)} in the {kind} {name}")
    if kind == "configmap":
        values = {"stringData": values["data"]}
    _order("patch", secret=name, values=values)
    return _said(f"{kind}/{name} patched")


def _deployment(names: list[str]) -> str:
    kind, name = _workload("/".join(names[:2]))
    if kind != "deployment":
        raise NotDone(f"error: this stand-in changes deployments, and no {kind}")
    return name


def _workload(word: str) -> tuple[str, str]:
    kind, name = typed(word)
    if kind not in _WORKLOADS:
        raise NotDone(f"error: no rollout of a {kind}")
    if name not in _WORKLOADS[kind]:
        raise NotDone(f'Error from server (NotFound): {kind}s.apps "{name}" not found')
    return kind, name


def _order(verb: str, **what: Any) -> None:
    path = os.environ.get("KUBECTL_ORDERS")
    if not path:
        raise NotDone("error: nobody here carries out changes (KUBECTL_ORDERS is not set)")
    with Path(path).open("a", encoding="utf-8") as orders:
        orders.write(json.dumps({"verb": verb, **what}) + "\n")


def _said(line: str) -> int:
    sys.stdout.write(f"{line}\n")
    return 0
