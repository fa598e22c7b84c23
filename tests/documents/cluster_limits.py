"""Numbers of the manifests, of the command and of what the API does at its end, as sentences tell them."""

import argparse
import ast
import re
from pathlib import Path
from typing import Any

import yaml

from api import schemas
from config import tenant_problems
from storage import schema
from support import arguments
from tests.documents.documents import ROOT
from tests.documents.facts import Fact

_BASE, _PRODUCTION = ROOT / "k8s" / "base", ROOT / "k8s" / "overlays" / "production"


def facts_of_the_cluster() -> list[Fact]:
    """Everything that is held."""
    least, most, waiting = _scaling()
    return [
        Fact("keeps between {} and {} workers", (least, most)),
        Fact("one for each {} waiting jobs", (waiting,)),
        Fact("Workers are added from {} waiting jobs a worker", (waiting,)),
        Fact("Double their number (normally {})", (least,)),
        Fact("a worker holds up to {} jobs", (_setting("WORKER_CONCURRENCY"),)),
        Fact("they are ready, at port {}", (_setting("METRICS_PORT"),)),
        Fact("`GET /ready` at port {} of a worker", (_setting("METRICS_PORT"),)),
        Fact("runs as user {}", (_user(),)),
        Fact("Postgres {} or later with two roles", (schema.OLDEST_POSTGRES,)),
        Fact("scale to {} as in", (least,)),
        Fact("With {} workers the depth falls", (most,)),
        Fact("goes on taking webhooks for {}", (_seconds_before_the_end(),)),
        Fact("the API within {}", (_graceful_seconds(),)),
        Fact("`jobs` lists the newest {}", (_newest(),)),
        Fact("not 1 to {} digits", (_most(schemas._TICKET_ID),)),
        Fact("a-z, 0-9 and `-`, at most {})", (_most(tenant_problems.TENANT_ID),)),
        Fact("a worker of {} is given {} and may take {}", (_setting("WORKER_CONCURRENCY"), *_mebibytes())),
    ]


def _documents(path: Path) -> list[dict[str, Any]]:
    return [found for found in yaml.safe_load_all(path.read_text(encoding="utf-8")) if found]


def _scaling() -> tuple[int, int, int]:
    (own,) = _documents(_PRODUCTION / "scaling.yaml")
    component = _documents(ROOT / "k8s" / "components" / "keda" / "worker-scaling.yaml")
    (triggers,) = [found["spec"]["triggers"] for found in component if found["kind"] == "ScaledObject"]
    (waiting,) = [trigger["metadata"]["listLength"] for trigger in triggers if trigger["name"] == "waiting"]
    return own["spec"]["minReplicaCount"], own["spec"]["maxReplicaCount"], int(waiting)


def _seconds_before_the_end() -> int:
    (deployment,) = [found for found in _documents(_BASE / "api.yaml") if found["kind"] == "Deployment"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return int(container["lifecycle"]["preStop"]["sleep"]["seconds"])


def _newest() -> int:
    parser = argparse.ArgumentParser()
    arguments.add_verbs(parser.add_subparsers())
    return int(parser.parse_args(["jobs"]).limit)


def _mebibytes() -> tuple[int, int]:
    """What a worker's container asks for, and what it may take."""
    (deployment,) = [found for found in _documents(_BASE / "worker.yaml") if found["kind"] == "Deployment"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    asked, most = (container["resources"][kind]["memory"] for kind in ("requests", "limits"))
    return int(asked.removesuffix("Mi")), int(most.removesuffix("Mi"))


def _graceful_seconds() -> int:
    """What the API's server is given, where it is started."""
    tree = ast.parse((ROOT / "support" / "cli.py").read_text(encoding="utf-8"))
    (given,) = [node for node in ast.walk(tree) if getattr(node, "arg", "") == "timeout_graceful_shutdown"]
    return int(ast.literal_eval(given.value))  # type: ignore[attr-defined]


def _most(pattern: re.Pattern[str]) -> int:
    """The most characters that a pattern takes."""
    (most,) = re.findall(r"\{1,(\d+)\}", pattern.pattern)
    return int(most)


def _setting(name: str) -> int:
    (found,) = re.findall(rf"^{name}=(\d+)$", (_BASE / "settings.env").read_text(encoding="utf-8"), re.MULTILINE)
    return int(found)


def _user() -> int:
    (found,) = re.findall(r"^USER (\d+):", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    return int(found)
