"""Kinds of names that documents put between back quotes: how such a name looks, and whether there is a thing of it."""

import contextlib
import io
import re
import shlex
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pkgutil import resolve_name
from typing import NamedTuple

import pytest
from fastapi import APIRouter, FastAPI
from starlette.routing import BaseRoute

from api import health, probes, webhook
from config.tenant_names import TENANT_SETTINGS
from devstack import document_tables as tables
from observability import tracing
from observability.identifiers import TAGS
from support.cli import main
from support.console import login as console_login
from support.console.app import PAGES
from tests.documents.documents import ROOT, filled

PRODUCT = [
    *("api", "config", "dispatch", "housekeeping", "integrations", "privacy"),
    *("observability", "signer", "storage", "support", "webhooks", "worker", "workflow"),
]
_ROOMS = "|".join(PRODUCT)
_OTHER_SETTINGS = re.compile(
    r"OTEL_\w+|REDISCLI_AUTH|REDIS_PASSWORD|DOCKER_\w+|API_URL|MODEL_URL|PATH_INFO|SSL_CERT_FILE"
)
# Of Postgres, PgBouncer, Redis and Celery.
_OTHER_NAMES = frozenset(
    {"log_statement", "log_min_duration_statement", "mean_ms", "pg_blocking_pids", "synchronous_standby_names"}
    | {"remote_apply", "remote_write", "default_pool_size", "tcp_keepidle", "unacked_index", "unacked_mutex"}
    | {"used_memory_human", "maxmemory_human", "aof_last_write_status"}
)


class Kind(NamedTuple):
    """Names that look so (the last group is the name, or all of it), and whether there is one."""

    shape: re.Pattern[str]
    has: Callable[[str], bool]


@cache
def product() -> str:
    """The product's code, as text."""
    return "\n".join(path.read_text("utf-8") for folder in PRODUCT for path in sorted((ROOT / folder).rglob("*.py")))


@cache
def code() -> str:
    """The same with what the database does, what is deployed, and what stands for the outside; with names of files."""
    kinds = {".py", ".sql", ".yaml", ".conf", ".env", ".json", ".txt", ".dg"}
    folders = [ROOT / name for name in (*PRODUCT, "k8s", "devstack", "simulators")]
    paths = [path for folder in folders for path in sorted(folder.rglob("*")) if path.suffix in kinds]
    paths += [ROOT / name for name in ("docker-compose.yml", "Dockerfile", "pyproject.toml")]
    return "\n".join(f"{path.name}\n{path.read_text('utf-8')}" for path in paths)


def _is_alert(name: str) -> bool:
    return any(rule["alert"] == name for rule in tables._rules())


def _is_metric(name: str) -> bool:
    plain = re.sub(r"_(?:bucket|count|sum)$", "", name)
    return any(row[0].strip("`") in (name, plain) for row in tables.metric_rows())


def _is_setting(name: str) -> bool:
    of_tenants = any(name.startswith(prefix) for prefix in TENANT_SETTINGS)
    known = name.lower() in {field for one in tables.PROCESSES.values() for field in one.model_fields}
    other = _OTHER_SETTINGS.fullmatch(name) is not None
    return of_tenants or known or other or re.search(rf"\b{name}\b", product()) is not None


def _is_file(name: str) -> bool:
    return (ROOT / name).exists() or any(ROOT.glob(name)) or f"\n{name}\n" in code()


def _is_in_kubernetes(name: str) -> bool:
    manifests = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "k8s").rglob("*.yaml")))
    return re.search(rf"name: {name}\b", manifests) is not None


def _is_verb_of_make(name: str) -> bool:
    """Among those that `make help` lists."""
    return re.search(rf"^{name}:.*## ", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE) is not None


def _is_command(text: str) -> bool:
    """Return True if `ai-agents` understands this: its verb, and all that follows."""
    verb, _, rest = re.sub(r'"?\$?\bJOB\b"?', "<JOB_ID>", text).partition(" ")
    if not rest or verb == "psql":
        return verb in re.findall(r"[\w-]+", _refusal("?").partition("choose from")[2])
    return _refusal(verb, *shlex.split(filled(rest)), "--?").endswith(": unrecognized arguments: --?\n")


def _refusal(*words: str) -> str:
    with contextlib.redirect_stderr(io.StringIO()) as told, pytest.raises(SystemExit):
        main(words)
    return told.getvalue()


def _is_place(name: str) -> bool:
    with contextlib.suppress(ImportError, AttributeError):
        resolve_name(name)
        return True
    return False


def _is_address(name: str) -> bool:
    """Of the API at either port, the one that a worker has beside its metrics, or of the console."""
    own = re.findall(r'PATH_INFO"\] != "(.+)"', product())
    webhooks = APIRouter()
    webhook.add_routes(webhooks)
    consoles = [route for router in (*PAGES, console_login.router) for route in router.routes]
    paths = {*own, *_paths([*consoles, *webhooks.routes, *health.router.routes, *_probes().routes])}
    return any(re.fullmatch(re.sub(r"\{\w+\}", "[a-z0-9-]+", path), name) for path in paths)


@cache
def _probes() -> FastAPI:
    return probes.create_probes(FastAPI())


def _paths(routes: Iterable[BaseRoute]) -> Iterator[str]:
    for route in routes:
        included = getattr(route, "original_router", None)
        yield from _paths(included.routes) if included else [str(getattr(route, "path", ""))]


def _is_header(name: str) -> bool:
    """One that the product reads or sends; case means nothing."""
    return re.search(rf'"{name}"', product(), re.IGNORECASE) is not None


def _is_name(name: str) -> bool:
    return name in _OTHER_NAMES or re.search(rf"\b{name}\b", code()) is not None


KINDS = {
    "alert": Kind(re.compile(r"AiAgents\w+"), _is_alert),
    "metric": Kind(re.compile(r"ai_agents_\w+(?<!owner)"), _is_metric),
    "setting": Kind(re.compile(r"((?:[A-Z][A-Z0-9]*_)+(?:[A-Z0-9]+|<TENANT>)?)(?:=\S*)?"), _is_setting),
    "file": Kind(
        re.compile(
            rf"(?:{_ROOMS}|k8s|docs|devstack|simulators|tests|benchmarks|requirements|\.ci)/[\w./*-]*"
            r"|[\w.-]+\.(?:md|py|sql|toml|ya?ml)"
        ),
        _is_file,
    ),
    "name in Kubernetes": Kind(re.compile(r"ai-agents-[a-z-]+"), _is_in_kubernetes),
    "verb of make": Kind(re.compile(r"make ([a-z-]+)(?: ARGS=.*)?"), _is_verb_of_make),
    "command": Kind(re.compile(r"(?:\.venv/bin/)?ai-agents ([a-z].*?)(?: \.\.\.)?"), _is_command),
    "place in the code": Kind(re.compile(rf"(?:.* )?((?:{_ROOMS})\.[\w.]+:\w+)(?: .*)?"), _is_place),
    # Not those of desks and models, nor of a container's files.
    "address": Kind(re.compile(r"(?:GET |POST )?(/(?!(?:api|app|v1|etc|tmp|var)\b)[\w./-]+)"), _is_address),
    "header": Kind(re.compile(r"(X-[\w-]+|webhook-[a-z]+)(?:: .*)?"), _is_header),
    "name in the code": Kind(re.compile(r"[A-Za-z]+_\w+"), _is_name),
}
# In documents for developers each word is one.
KINDS_FOR_DEVELOPERS = KINDS | {"name in the code": Kind(re.compile(r"[A-Za-z]\w+"), _is_name)}
# Those of traces are known by the word before them.
OF_TRACES = re.compile(r"\b(span|tag)s?(?: are)? ((?:`[^`]+`(?:, | and | or )?)+)")
IN_TRACES = {"span": {name for constant, name in vars(tracing).items() if constant.isupper()}, "tag": set(TAGS)}
