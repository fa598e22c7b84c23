"""Tables in the documents, generated from the code: `make tables`.

Each is between `<!-- table: NAME -->` and `<!-- end -->`. The texts come from the code: a field's description, a
metric's help, an alert's summary, a panel's description.
"""

import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import combinations
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, NamedTuple

import yaml
from prometheus_client.metrics import MetricWrapperBase
from pydantic_core import PydanticUndefined

from api.webhooks import ANSWERS
from config import exits
from config.console_access import ACCESS_SETTINGS
from config.settings import (
    ApiSettings,
    ByHandSettings,
    ConsoleSettings,
    DiagnoseSettings,
    ForgetSettings,
    HousekeepingSettings,
    LogSettings,
    MigrateSettings,
    SyncSettings,
    TraceSettings,
    WorkerSettings,
)
from config.tenant_settings import FIELDS, TENANT_SETTINGS
from observability import exposition, metrics
from support.check.findings import CHECKS
from support.diagnose.verdicts import FAQ, VerdictCode

ROOT = Path(__file__).resolve().parents[1]
DASHBOARDS = ROOT / "observability" / "grafana" / "dashboards"
ALERTS = ROOT / "observability" / "prometheus" / "alerts.yaml"
PROCESSES: dict[str, type[LogSettings]] = {
    "api": ApiSettings,
    "worker": WorkerSettings,
    "housekeeping": HousekeepingSettings,
    "console": ConsoleSettings,
    "jobs, show, retry, feedback, audit, documents, secrets": ByHandSettings,
    "diagnose": DiagnoseSettings,
    "trace": TraceSettings,
    "sync": SyncSettings,
    "forget": ForgetSettings,
    "migrate": MigrateSettings,
}
FUNCTIONS = ROOT / "storage" / "functions.sql"
_TRANSITION = re.compile(r"^-- state: (\S+) -> (\S+): (.+)$|^CREATE OR REPLACE FUNCTION (\w+)", re.MULTILINE)
_MARKED = re.compile(r"(?m)^(<!-- table: ([a-z ]+) -->\n).*?^(<!-- end -->)$", re.DOTALL)

Row = tuple[str, ...]
Table = Callable[[], list[Row]]


def settings(processes: Mapping[str, type[LogSettings]] = PROCESSES) -> list[Row]:
    """Return one row per setting, in the order of the processes that use it."""
    found: dict[str, tuple[str, str, list[str]]] = {}
    for process, kind in processes.items():
        for name, field in kind.model_fields.items():
            given = "required" if field.default is PydanticUndefined else f"`{field.default}`"
            default = "" if field.default is None else given
            found.setdefault(name.upper(), (default, " ".join(str(field.description).split()), []))[2].append(process)
    rows = [
        (f"`{name}`", "all" if len(users) == len(processes) else ", ".join(users), default, description)
        for name, (default, description, users) in found.items()
    ]
    return [("setting", "used by", "default", "meaning"), *rows]


def words(head: Row, meanings: Mapping[str, str], suffix: str = "") -> list[Row]:
    return [head, *((f"`{name}{suffix}`", meaning) for name, meaning in meanings.items())]


def tenant_keys() -> list[Row]:
    """Return one row per key of `tenants.toml`, relative to the tenant's table."""
    rows: list[Row] = [("key", "default", "meaning")]
    for path, field in FIELDS.items():
        default = json.dumps(field.get_default(), default=list) if field.default is not None else ""
        shown = f"`{default}`" if default not in ("", '""', "[]", "{}") else ""
        rows.append((f"`{path}`", shown, " ".join(str(field.description).split())))
    return rows


def metric_rows() -> list[Row]:
    rows = []
    for metric in (value for value in vars(metrics).values() if isinstance(value, MetricWrapperBase)):
        (family,) = metric.describe()
        name = family.name + ("_total" if family.type == "counter" else "")
        labels = ", ".join(f"`{label}`" for label in _labels_of(metric))
        givers = ", ".join(process for process, given in exposition.PROCESSES.items() if metric in given)
        rows.append((f"`{name}`", family.type, labels, givers, family.documentation))
    return [("metric", "type", "labels", "given by", "meaning"), *rows]


def _labels_of(metric: MetricWrapperBase) -> tuple[str, ...]:
    """Return the label names: there is no public way to ask, but a child is made of exactly these."""
    for names in (names for count in range(1, 5) for names in combinations(metrics.LABELS, count)):
        labels = dict.fromkeys(names, "")
        with suppress(ValueError):
            metric.labels(**labels)
            metric.remove_by_labels(labels)
            return names
    return ()


def panels(page: str) -> list[Row]:
    rows = []
    for panel in json.loads((DASHBOARDS / page).read_text(encoding="utf-8"))["panels"]:
        if panel["type"] != "row":
            normal, _, rest = panel["description"].removeprefix("**Normal:** ").partition("\n\n**Otherwise:** ")
            runbook = re.findall(r"`docs/(runbooks/\S+)`$", rest)[0]
            rows.append((panel["title"], normal, _link(runbook)))
    return [("panel", "normally", "runbook"), *rows]


def _link(runbook: str) -> str:
    title = (ROOT / "docs" / runbook).read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")
    return f"[{title.removeprefix('Runbook: ')}]({runbook})"


def alerts() -> list[Row]:
    rows = []
    for rule in _rules():
        says = re.sub(r"\{\{ \$labels\.(\w+) \}\}", r"`\1`", rule["annotations"]["summary"])
        runbook = rule["annotations"]["runbook_url"].removeprefix("docs/")
        alert = f"[{rule['alert']}]({runbook}#{rule['alert'].lower()})"
        rows.append((alert, re.sub(r"\{\{ \$value.*? \}\}", "…", says), rule["for"], rule["labels"]["severity"]))
    return [("alert", "says", "for", "severity"), *rows]


def runbooks() -> list[Row]:
    rows = []
    for path in sorted((ROOT / "docs" / "runbooks").glob("*.md")):
        led = [rule["alert"] for rule in _rules() if rule["annotations"]["runbook_url"].endswith(path.name)]
        rows.append((_link(f"runbooks/{path.name}"), ", ".join(f"`{alert}`" for alert in led)))
    return [("runbook", "alerts"), *rows]


def _rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]
    return [rule for rule in group["rules"] if "alert" in rule]


def statuses() -> list[Row]:
    meanings = {202: "Taken, or known already: `job_id` is what the logs call it"}
    meanings |= {404: "Another address", 405: "Another method than POST"}
    meanings |= {int(status): answer["description"] for status, answer in ANSWERS.items()}
    return [("status", "means"), *((str(status), means) for status, means in sorted(meanings.items()))]


def exit_rows() -> list[Row]:
    meanings = (exits.OF_COMMANDS, exits.OF_PROCESSES)
    rows = [(str(status), *(of.get(status, "") for of in meanings)) for status in sorted({*meanings[0], *meanings[1]})]
    return [("status", "of a command", "of `api`, `worker`, `housekeeping` or `console`"), *rows]


def verdict_rows() -> list[Row]:
    """Return one row per verdict of `ai-agents diagnose`: exit status and FAQ heading."""
    faq = FAQ.removeprefix("docs/")
    rows = [
        (f"`{code}`", str(code.status), code.means, f"[{code.anchor}]({faq}#{code.anchor})") for code in VerdictCode
    ]
    return [("verdict", "status", "means", "the FAQ goes on at"), *rows]


class Transition(NamedTuple):
    """A state change by a function; `[*]` is the state before there is a row."""

    before: str
    after: str
    what: str
    function: str


def transitions() -> list[Transition]:
    """Return the transitions in the comments of `storage/functions.sql`."""
    found: list[Transition] = []
    told: list[tuple[str, str, str]] = []
    for before, after, what, function in _TRANSITION.findall(FUNCTIONS.read_text(encoding="utf-8")):
        if function:
            found += [Transition(*one, function) for one in told]
        told = [] if function else [*told, (before, after, what)]
    return found


def transition_rows() -> list[Row]:
    rows = [(f"`{one.before}`", f"`{one.after}`", one.what, f"`{one.function}`") for one in transitions()]
    return [("before", "after", "what happened", "function"), *rows]


TABLES: dict[str, Table] = {
    "checks": lambda: words(("row", "in order when"), CHECKS),
    "settings": settings,
    "tenant settings": lambda: words(("setting", "meaning"), TENANT_SETTINGS, "<TENANT>"),
    "tenant keys": tenant_keys,
    "console access": lambda: words(("setting", "is"), ACCESS_SETTINGS),
    "metrics": metric_rows,
    "labels": lambda: words(("label", "values"), metrics.LABELS),
    "operations": lambda: panels("operations.json"),
    "baseline": lambda: panels("baseline.json"),
    "alerts": alerts,
    "runbooks": runbooks,
    "statuses": statuses,
    "exits": exit_rows,
    "verdicts": verdict_rows,
    "transitions": transition_rows,
    "redaction": lambda: list(resolve_name("tests.privacy.measure:rows")()),
}


def filled(text: str, tables: Mapping[str, Table] = TABLES) -> str:
    """Return the text with each table generated. Raises KeyError for an unknown name."""
    return _MARKED.sub(lambda found: f"{found[1]}\n{markdown(tables[found[2]]())}\n\n{found[3]}", text)


def markdown(rows: list[Row]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def documents() -> list[Path]:
    return [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


if __name__ == "__main__":
    for path in documents():
        before = path.read_text(encoding="utf-8")
        if (after := filled(before)) != before:
            path.write_text(after, encoding="utf-8")
            print(f"written: {path.relative_to(ROOT)}")
