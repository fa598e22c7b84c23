"""Tables in the documents between `<!-- table: NAME -->` and `<!-- end -->`, generated from the code's descriptions."""

import ast
import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import combinations
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import yaml
from prometheus_client import Counter, Gauge, Histogram

from api.app import public_app
from api.webhooks import ANSWERS
from cli.check.findings import CHECKS
from config import exit_codes, settings
from config.tenants import FIELDS, TENANT_SETTINGS
from console.access import ACCESS_SETTINGS
from jobs.diagnosis.verdict_codes import FAQ, VerdictCode
from observability import metrics, metrics_server

ROOT = Path(__file__).resolve().parents[2]
OPENAPI = ROOT / "docs" / "openapi.json"
ROOMS = "api jobs worker workflow knowledge privacy integrations observability config db cli console"
_TRANSITION = re.compile(r"^-- state: (\S+) -> (\S+): (.+)$|^CREATE OR REPLACE FUNCTION (\w+)", re.MULTILINE)
_MARKED = re.compile(r"(?m)^(<!-- table: ([a-z ]+) -->\n).*?^(<!-- end -->)$", re.DOTALL)

Row = tuple[str, ...]


def setting_rows() -> list[Row]:
    """Return one row per setting; the docstring of its class names the commands."""
    kinds = [
        kind for kind in vars(settings).values() if isinstance(kind, type) and issubclass(kind, settings.LogSettings)
    ]
    users_of = {kind: re.findall(r"`(?:ai-agents )?([a-z]+)`", str(kind.__doc__)) for kind in kinds}
    processes = {", ".join(users): kind for kind, users in users_of.items() if users}
    table: dict[str, tuple[str, str, list[str]]] = {}
    for process, kind in processes.items():
        for name, field in kind.model_fields.items():
            default = "required" if field.is_required() else "" if field.default in (None, {}) else f"`{field.default}`"
            table.setdefault(name.upper(), (default, " ".join(str(field.description).split()), []))[2].append(process)
    rows = [
        (f"`{name}`", "all" if len(users) == len(processes) else ", ".join(users), default, description)
        for name, (default, description, users) in table.items()
    ]
    return [("setting", "used by", "default", "meaning"), *rows]


def words(head: Row, meanings: Mapping[str, str], suffix: str = "") -> list[Row]:
    return [head, *((f"`{name}{suffix}`", meaning) for name, meaning in meanings.items())]


def tenant_keys() -> list[Row]:
    rows: list[Row] = [("key", "default", "meaning")]
    for path, field in FIELDS.items():
        default = json.dumps(field.get_default(), default=list)
        shown = "" if default in ("null", '""', "[]", "{}") else f"`{default}`"
        rows.append((f"`{path}`", shown, " ".join(str(field.description).split())))
    return rows


def metric_rows() -> list[Row]:
    rows = []
    for metric in (value for value in vars(metrics).values() if isinstance(value, (Counter, Gauge, Histogram))):
        (family,) = metric.describe()
        name = family.name + ("_total" if family.type == "counter" else "")
        labels = ", ".join(f"`{label}`" for label in _find_labels(metric))
        processes = ", ".join(process for process, exported in metrics_server.PROCESSES.items() if metric in exported)
        rows.append((f"`{name}`", family.type, labels, processes, family.documentation))
    return [("metric", "type", "labels", "exported by", "meaning"), *rows]


def _find_labels(metric: Counter | Gauge | Histogram) -> tuple[str, ...]:
    # No public attribute has them, but a child is made of exactly these.
    for names in (names for count in range(1, 5) for names in combinations(metrics.LABELS, count)):
        labels = dict.fromkeys(names, "")
        with suppress(ValueError):
            metric.labels(**labels)
            metric.remove_by_labels(labels)
            return names
    return ()


def panels(page: str) -> list[Row]:
    described = re.compile(r"(?s)\*\*Normal:\*\* (.+?)\n\n.*`docs/(runbooks/\S+)`")
    items = json.loads((ROOT / "observability" / "grafana" / "dashboards" / page).read_text("utf-8"))["panels"]
    matches = ((panel["title"], described.fullmatch(panel.get("description", ""))) for panel in items)
    return [("panel", "normal state", "runbook"), *((name, at[1], _link(at[2])) for name, at in matches if at)]


def _link(runbook: str) -> str:
    title = (ROOT / "docs" / runbook).read_text("utf-8").splitlines()[0]
    return f"[{title.removeprefix('# ').removeprefix('Runbook: ')}]({runbook})"


def alerts() -> list[Row]:
    rows: list[Row] = [("alert", "summary", "for", "severity")]
    for rule in _rules():
        summary = re.sub(r"\{\{ \$labels\.(\w+) \}\}", r"`\1`", rule["annotations"]["summary"])
        runbook = rule["annotations"]["runbook_url"].removeprefix("docs/")
        alert = f"[{rule['alert']}]({runbook}#{rule['alert'].lower()})"
        rows.append((alert, re.sub(r"\{\{ \$value.*? \}\}", "…", summary), rule["for"], rule["labels"]["severity"]))
    return rows


def runbooks() -> list[Row]:
    alerts: dict[str, list[str]] = {}
    for rule in _rules():
        alerts.setdefault(rule["annotations"]["runbook_url"].removeprefix("docs/"), []).append(f"`{rule['alert']}`")
    pages = [f"runbooks/{path.name}" for path in sorted((ROOT / "docs" / "runbooks").glob("*.md"))]
    return [("runbook", "alerts"), *((_link(page), ", ".join(alerts.get(page, ""))) for page in pages)]


def _rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load((ROOT / "observability" / "prometheus" / "alerts.yaml").read_text("utf-8"))["groups"]
    return [rule for rule in group["rules"] if "alert" in rule]


def statuses() -> list[Row]:
    others = {202: "Accepted, or a duplicate; `job_id` is the job in the logs", 404: "Unknown path"}
    meanings = others | {405: "Method is not POST"} | {int(each): ANSWERS[each]["description"] for each in ANSWERS}
    return [("status", "meaning"), *((str(status), meanings[status]) for status in sorted(meanings))]


def exit_rows() -> list[Row]:
    kinds = exit_codes.OF_COMMANDS, exit_codes.OF_PROCESSES
    rows = [(str(each), *(kind.get(each, "") for kind in kinds)) for each in sorted(kinds[0] | kinds[1])]
    return [("status", "of a command", "of `api`, `worker`, `housekeeping` or `console`"), *rows]


def verdict_rows() -> list[Row]:
    page = FAQ.removeprefix("docs/")
    rows = (
        (f"`{each}`", str(each.status), each.means, f"[{each.anchor}]({page}#{each.anchor})") for each in VerdictCode
    )
    return [("verdict", "status", "meaning", "FAQ"), *rows]


def transitions() -> list[Row]:
    rows, pending = list[Row](), list[Row]()
    for before, after, event, function in _TRANSITION.findall((ROOT / "jobs" / "functions.sql").read_text("utf-8")):
        rows += [(*each, function) for each in pending if function]
        pending = [] if function else [*pending, (before, after, event)]
    return rows


def modules() -> list[Row]:
    rows = []
    for path in (path for room in ROOMS.split() for path in sorted((ROOT / room).rglob("*.py"))):
        doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        if path.name != "__init__.py" and "versions" not in path.parts:
            rows.append((f"`{path.relative_to(ROOT)}`", doc.splitlines()[0].replace("|", "/")))
    return [("module", "content"), *rows]


TABLES: dict[str, Callable[[], list[Row]]] = {
    "checks": lambda: words(("row", "passes if"), CHECKS),
    "settings": setting_rows,
    "tenant settings": lambda: words(("setting", "meaning"), TENANT_SETTINGS, "<TENANT>"),
    "tenant keys": tenant_keys,
    "console access": lambda: words(("setting", "meaning"), ACCESS_SETTINGS),
    "metrics": metric_rows,
    "labels": lambda: words(("label", "values"), metrics.LABELS),
    "operations": lambda: panels("operations.json"),
    "baseline": lambda: panels("baseline.json"),
    "alerts": alerts,
    "runbooks": runbooks,
    "statuses": statuses,
    "exits": exit_rows,
    "verdicts": verdict_rows,
    "transitions": lambda: [
        ("before", "after", "event", "function"),
        *((f"`{before}`", f"`{after}`", event, f"`{name}`") for before, after, event, name in transitions()),
    ],
    "modules": modules,
    "redaction": lambda: list(resolve_name("tests.privacy.measure:rows")()),
}


def filled(text: str) -> str:
    return _MARKED.sub(lambda match: f"{match[1]}\n{markdown(TABLES[match[2]]())}\n\n{match[3]}", text)


def markdown(rows: list[Row]) -> str:
    head, *lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([head, "|" + "---|" * len(rows[0]), *lines])


def documents() -> list[Path]:
    return [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


def openapi() -> str:
    """Return the OpenAPI document of the webhook's port, for `docs/openapi.json`."""
    return json.dumps(public_app().openapi(), indent=1) + "\n"


if __name__ == "__main__":
    OPENAPI.write_text(openapi(), "utf-8")
    for document in documents():
        text = document.read_text("utf-8")
        if filled(text) != text:
            document.write_text(filled(text), "utf-8")
            print(f"written: {document.relative_to(ROOT)}")
