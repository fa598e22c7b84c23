"""What documents put between back quotes, or grep for, exists: log lines, reasons, panels, names."""

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from config.tenants import TENANT_SETTINGS
from devstack import document_tables as tables
from observability import phrases, tracing
from observability.phrases import Phrase
from tests.documents.documents import ROOT, Document, documents

PRODUCT = [
    "api",
    "config",
    "dispatch",
    "housekeeping",
    "integrations",
    "observability",
    "storage",
    "support",
    "worker",
    "workflow",
]
# A sentence's beginning, with a capital: a line, a panel's title, or what another program prints.
SENTENCE = re.compile(r"[A-Z][\w-]*[a-z0-9]\S* \S.*|[A-Z][\w-]+: ?.*")
# What kubectl, curl, Postgres and others print or are told, and the marker of a note.
OF_OTHERS = frozenset(
    {"Name:", "State:", "Last State", "Last State:", "Reason:", "Exit Code:", "Limits:", "Liveness:", "date"}
    | {
        "No resources found",
        "Name or service not known",
        "HTTP Error 401",
        "ServiceDesk Plus API: 401",
        "Upgrade: h2c",
        "Ref <job id>",
    }
    | {"X-ServiceDesk-Signature: sha256=<hex>", "Location:"}
)
OTHER_SETTINGS = re.compile(r"OTEL_\w+|REDISCLI_AUTH|REDIS_PASSWORD|DOCKER_\w+|API_URL|MODEL_URL|PATH_INFO")
NAMES = {
    "alert": re.compile(r"AiAgents\w+"),
    "metric": re.compile(r"ai_agents_\w+(?<!owner)"),
    "setting": re.compile(r"((?:[A-Z][A-Z0-9]*_)+(?:[A-Z0-9]+|<TENANT>)?)(?:=\S*)?"),
    "file": re.compile(
        rf"(?:{'|'.join(PRODUCT)}|k8s|docs|devstack|simulators|tests|benchmarks|requirements)/[\w./*-]*"
    ),
    "name in Kubernetes": re.compile(r"ai-agents-[a-z]+"),
}


@cache
def product() -> str:
    """The product's code, as text."""
    return "\n".join(path.read_text("utf-8") for folder in PRODUCT for path in sorted((ROOT / folder).rglob("*.py")))


@cache
def templates() -> tuple[str, ...]:
    """The fixed text of each log line, with `{places}`."""
    found = [phrase.template for phrase in vars(phrases).values() if isinstance(phrase, Phrase)]
    return tuple(t.replace("{process}", process) for t in found for process in ("API", "Worker", "Housekeeping"))


@cache
def titles() -> frozenset[str]:
    """The dashboards' and their panels', and the names of spans."""
    told = [json.loads((tables.DASHBOARDS / page).read_text(encoding="utf-8")) for page in tables._pages()]
    named = {title for page in told for title in (page["title"], *(panel["title"] for panel in page["panels"]))}
    return frozenset(named | {value for value in vars(tracing).values() if isinstance(value, str)})


def is_line(text: str) -> bool:
    """Whether a log line begins so, and its reason is one of ours."""
    if refusal := re.fullmatch(r"Webhook rejected: status=(\d+), reason=([a-z][^:]*).*", text):
        return (int(refusal[1]), refusal[2]) in tables.refusals()
    reason = re.search(r"reason=([a-z][^,;:….]*)", text)
    if reason and reason[1].strip() not in product():
        return False
    fields = set(re.findall(r"(\w+)=", text))
    for template in templates():
        fixed = re.split(r"[{:=]| after ", template)[0].strip()
        if fixed and (fixed.startswith(text.rstrip(": ")) or text.startswith(fixed)):
            return fields <= {*re.findall(r"(\w+)=", template), "reason", "cause"}
    return False


def is_printed(text: str) -> bool:
    """Whether it is a line, a title, a text of the product's, or what others print."""
    return text in OF_OTHERS or text in titles() or is_line(text) or text.strip().rstrip(":") in product()


def quoted(document: Document) -> Iterator[str]:
    """What stands between back quotes, and what is grepped for."""
    yield from (mention.text.removeprefix("| ") for mention in document.mentions())
    for pattern in re.findall(r'grep (?:-\w+ )*"([^"$<]+)"', document.text):
        yield from (piece.lstrip("^") for piece in pattern.split(r"\|") if not piece.islower())


def exists(kind: str, name: str) -> bool:
    """Whether there is a thing of that kind and name."""
    match kind:
        case "alert":
            return any(rule["alert"] == name for rule in tables._rules())
        case "metric":
            plain = re.sub(r"_(?:bucket|count|sum)$", "", name)
            return any(row[0].strip("`") in (name, plain) for row in tables.metric_rows())
        case "setting":
            of_tenants = any(name.startswith(prefix) for prefix in TENANT_SETTINGS)
            known = name.lower() in {field for one in tables.PROCESSES.values() for field in one.model_fields}
            return of_tenants or known or OTHER_SETTINGS.fullmatch(name) is not None or name in product()
        case "file":
            return (ROOT / name).exists() or any(ROOT.glob(name))
    return re.search(rf"name: {name}\b", manifests()) is not None


@cache
def manifests() -> str:
    """What is deployed."""
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "k8s").rglob("*.yaml")))


def unknown(document: Document) -> list[str]:
    """What a document quotes and nothing has."""
    wrong = []
    for text in quoted(document):
        named = [(kind, found) for kind, shape in NAMES.items() if (found := shape.fullmatch(text))]
        wrong += [f"no {kind}: {text}" for kind, found in named if not exists(kind, found[found.re.groups])]
        if not named and SENTENCE.fullmatch(text) and not is_printed(text):
            wrong.append(f"nobody says: {text}")
    return wrong


@pytest.mark.parametrize("document", documents(), ids=lambda document: document.name)
def test_what_a_document_quotes_exists(document: Document) -> None:
    assert unknown(document) == []


@pytest.mark.parametrize(
    "text",
    [
        *("Webhook doubled", "Webhook rejected: status=403, reason=signature wrong", "Breaker gone"),
        *("Webhook rejected: status=404, reason=signature mismatch", "GPT-4 call status", "Webhooks by Outcome"),
        *("Task failed: reason=eaten by dragons", "AiAgentsSleepy", "ai_agents_webhook_total", "WEBHOOK_TIMEOUT"),
        *("api/webhooks.py", "ai-agents-wroker"),
    ],
)
def test_what_there_is_not_is_found(text: str, tmp_path: Path) -> None:
    (tmp_path / "lie.md").write_text(f"It says `{text}`.\n", encoding="utf-8")
    assert len(unknown(Document(tmp_path / "lie.md", tmp_path))) == 1
