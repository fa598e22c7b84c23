"""What there is to be mentioned, from its single source in the code: phrases, words, metrics, settings, addresses."""

import ast
import json
import re
from functools import cache
from pathlib import Path

from prometheus_client import REGISTRY
from prometheus_client.metrics import MetricWrapperBase

from api import health, webhook
from config.settings import ApiSettings, ByHandSettings, HousekeepingSettings, MigrateSettings, WorkerSettings
from config.tenants import TENANT_SETTINGS
from observability import metrics, phrases, tracing
from observability.identifiers import TAGS
from observability.phrases import Phrase
from tests.support_documents import statuses
from tests.support_documents.documents import ROOT

ALERTS = ROOT / "observability" / "prometheus" / "alerts.yaml"
PRODUCT = ("api", "config", "integrations", "observability", "storage", "support", "worker", "workflow")
_PLACE = re.compile(r"\{[^{}]*\}")
_PROCESSES = ("API", "Worker", "Housekeeping")
_SHOWN_PLACE = r"(?:\.\.\.|…|[^,]+?)"


@cache
def templates() -> tuple[str, ...]:
    """The fixed text of each log line, with `{places}`."""
    found = [value.template for value in vars(phrases).values() if isinstance(value, Phrase)]
    return tuple(t.replace("{process}", process) for t in found for process in _PROCESSES if "{process}" in t) + tuple(
        template for template in found if "{process}" not in template
    )


@cache
def is_phrase(text: str) -> bool:
    """Whether a log line says that: the whole phrase with its places filled, or its beginning up to a word's end."""
    text = re.sub(r"(?<=, )(?:…|\.\.\.)$", "", text)
    return gives_known_reason(text) and any(
        text.startswith(_start(template)) and re.fullmatch(_pattern(template), text) for template in templates()
    )


def gives_known_reason(text: str) -> bool:
    """Whether the reason in it, if there is one, is one that the product has, and so is its status."""
    if statuses.is_wrong_in(text):
        return False
    found = re.match(r"(?:OpenAI|ServiceDesk Plus) API error: (.+)|.*reason=(.+)", text)
    reason = (found[1] or found[2]).split(";")[0].split(", held back")[0] if found else "…"
    return reason in statuses.of_others() or reason.startswith(("…", "...")) or is_word(reason)


@cache
def is_phrase_part(text: str) -> bool:
    """Whether a line has it further on, from a word's beginning: `ticket_history=No, docs=No`, `reason=worker lost`.

    Or words from the middle of one: `timeout after`.
    """
    if len(text.split()) > 1 and any(re.search(rf"(?<!\w){re.escape(text)}(?!\w)", line) for line in templates()):
        return True
    for template in templates():
        for found in re.finditer(r"(?<![\w{])\w+=", template):
            if found.start() and text.startswith(found[0]) and re.fullmatch(_pattern(template[found.start() :]), text):
                return gives_known_reason(text)
    return False


def _start(template: str) -> str:
    return re.split(r" after|[:{]", template)[0].strip()


def _pattern(template: str) -> str:
    pattern = ""
    for part in reversed([part for part in re.split(r"(\{[^{}]*\}|[\s:,;=]+)", template) if part]):
        pattern = f"{_SHOWN_PLACE if _PLACE.fullmatch(part) else re.escape(part)}(?:{pattern})?"
    return pattern


@cache
def words() -> tuple[str, ...]:
    """Each text in the product's code that is no docstring, its places as `{}`: reasons, words of tables, headers."""
    found: set[str] = set()
    for folder in PRODUCT:
        for path in (ROOT / folder).rglob("*.py"):
            if path.name != "phrases.py":
                found |= _texts(ast.parse(path.read_text(encoding="utf-8")))
    return tuple(sorted(text for text in found if re.search(r"[A-Za-z]{2}", text)))


def _texts(tree: ast.AST) -> set[str]:
    comments = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    pieces = {id(value) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for value in node.values}
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in comments | pieces:
            found.add(node.value)
        elif isinstance(node, ast.JoinedStr):
            found.add("".join(str(v.value) if isinstance(v, ast.Constant) else "{}" for v in node.values))
    return found


@cache
def is_word(text: str) -> bool:
    """Whether the product's code has this text: a whole one with its places filled, or two words and more of one."""
    if any(pattern.fullmatch(text) for pattern in _word_patterns()):
        return True
    within = rf"(?<!\w){re.escape(text)}(?!\w)"
    return len(text.split()) > 1 and re.search(within, "\n".join(words())) is not None


@cache
def _word_patterns() -> tuple[re.Pattern[str], ...]:
    # A text that is nothing but places would match everything.
    texts = [text for text in words() if re.search(r"[A-Za-z]{3}", text.replace("{}", ""))]
    return tuple(re.compile(".+?".join(map(re.escape, text.split("{}")))) for text in texts)


@cache
def metric_names() -> frozenset[str]:
    """Every name that Prometheus may see: of ours, with the parts of histograms, and of any Python process."""
    names: set[str] = set()
    for metric in vars(metrics).values():
        if isinstance(metric, MetricWrapperBase):
            (family,) = metric.describe()
            names |= {family.name + {"counter": "_total"}.get(family.type, "")}
            if family.type == "histogram":
                names |= {family.name + part for part in ("_bucket", "_count", "_sum")}
    return frozenset(names | {sample.name for family in REGISTRY.collect() for sample in family.samples})


@cache
def families() -> frozenset[str]:
    """The histograms' names, as documents speak of them."""
    return frozenset(name.removesuffix("_count") for name in metric_names() if name.endswith("_count"))


@cache
def settings() -> frozenset[str]:
    """Every setting of a process; those of a tenant end with `_`."""
    processes = (ApiSettings, ByHandSettings, HousekeepingSettings, MigrateSettings, WorkerSettings)
    return frozenset({name.upper() for process in processes for name in process.model_fields} | set(TENANT_SETTINGS))


def is_setting(text: str) -> bool:
    """Whether it is a setting, or a tenant's with its name or `<TENANT>` at the end."""
    if text in settings() and not text.endswith("_"):
        return True
    return any(re.fullmatch(re.escape(name) + r"(?:<TENANT>|\$NAME|[A-Z][A-Z0-9_]*)", text) for name in TENANT_SETTINGS)


@cache
def routes() -> frozenset[str]:
    """The addresses of the API."""
    found = [route for router in (webhook.router, health.router) for route in router.routes]
    return frozenset(str(getattr(route, "path", "")) for route in found) | {"/metrics"}


@cache
def alerts() -> frozenset[str]:
    """The alerts' names."""
    return frozenset(re.findall(r"^ +- alert: (\w+)$", ALERTS.read_text(encoding="utf-8"), re.MULTILINE))


@cache
def spans() -> frozenset[str]:
    """The names of a job's spans."""
    names = ("WEBHOOK", "QUEUE", "WORKER", "CONTEXT", "GPT4", "SERVICEDESK_UPDATE")
    return frozenset(getattr(tracing, name) for name in names)


def tags() -> frozenset[str]:
    """The tags of each span."""
    return frozenset(TAGS)


@cache
def panels() -> dict[str, frozenset[str]]:
    """The panels of each dashboard, by its title."""
    found = {}
    for path in sorted((ROOT / "observability").rglob("*.json")):
        told = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(told, dict) and "panels" in told:
            rows = [*told["panels"], *(inner for row in told["panels"] for inner in row.get("panels", []))]
            found[str(told["title"])] = frozenset(str(row["title"]) for row in rows if row.get("title"))
    return found


@cache
def make_verbs() -> frozenset[str]:
    """The verbs of the Makefile."""
    return frozenset(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


@cache
def tree_text() -> str:
    """All of the repository that is no document, for what developers' documents quote of it."""
    kinds = {".py", ".toml", ".yaml", ".yml", ".json", ".txt"}
    files = [path for folder in _folders() for path in folder.rglob("*") if path.suffix in kinds]
    files += [ROOT / "Makefile", ROOT / "pyproject.toml", ROOT / ".gitignore"]
    return "\n".join(path.read_text(encoding="utf-8") for path in files if path.is_file())


@cache
def file_names() -> frozenset[str]:
    """The names of all files, without their folders."""
    return frozenset(path.name for folder in _folders() for path in folder.rglob("*"))


def _folders() -> list[Path]:
    return [path for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")]
