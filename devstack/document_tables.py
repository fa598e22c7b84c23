"""The tables in the documents that are made from the code: `python -m devstack.document_tables` writes them anew.

Each stands between `<!-- table: NAME -->` and `<!-- end -->`. Where the words of a row live is where the thing itself
does: a field's description, a metric's help, an alert's summary, a panel's description.
"""

import ast
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from prometheus_client.metrics import MetricWrapperBase
from pydantic_core import PydanticUndefined

from api.webhook import ANSWERS
from config import exits
from config.console_access import ACCESS_SETTINGS
from config.console_settings import ConsoleSettings
from config.diagnose_settings import DiagnoseSettings, TraceSettings
from config.loading import LogSettings
from config.settings import (
    ApiSettings,
    ByHandSettings,
    ForgetSettings,
    HousekeepingSettings,
    MigrateSettings,
    SyncSettings,
    WorkerSettings,
)
from config.tenant_names import TENANT_SETTINGS
from config.tenant_settings import FIELDS
from devstack import document_limits, document_verdicts, transitions
from observability import exposition, metrics
from support.check.findings import CHECKS

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
_MARKED = re.compile(r"(?m)^(<!-- table: ([a-z ]+) -->\n).*?^(<!-- end -->)$", re.DOTALL)

Row = tuple[str, ...]
Table = Callable[[], list[Row]]


def settings(processes: Mapping[str, type[LogSettings]] = PROCESSES) -> list[Row]:
    """Give one row a setting, in the order of the processes that use it."""
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


def tenant_settings() -> list[Row]:
    """Give one row a setting that each tenant has."""
    return [("setting", "meaning"), *((f"`{prefix}<TENANT>`", text) for prefix, text in TENANT_SETTINGS.items())]


def tenant_keys() -> list[Row]:
    """Give one row a key of `tenants.toml`, by its path below the tenant's table."""
    rows: list[Row] = [("key", "default", "meaning")]
    for path, field in FIELDS.items():
        default = json.dumps(field.get_default(), default=list) if field.default is not None else ""
        rows.append(
            (
                f"`{path}`",
                f"`{default}`" if default not in ("", '""', "[]", "{}") else "",
                " ".join(str(field.description).split()),
            )
        )
    return rows


def console_access() -> list[Row]:
    """Give one row a setting of logging in to the console."""
    return [("setting", "is"), *((f"`{name}`", text) for name, text in ACCESS_SETTINGS.items())]


def metric_rows() -> list[Row]:
    """Give one row a metric, in the order of its definition."""
    rows = []
    for metric in (value for value in vars(metrics).values() if isinstance(value, MetricWrapperBase)):
        (family,) = metric.describe()
        name = family.name + ("_total" if family.type == "counter" else "")
        labels = ", ".join(f"`{label}`" for label in metric._labelnames)  # noqa: SLF001 -- no public name
        givers = ", ".join(process for process, given in exposition.PROCESSES.items() if metric in given)
        rows.append((f"`{name}`", family.type, labels, givers, family.documentation))
    return [("metric", "type", "labels", "given by", "meaning"), *rows]


def label_rows() -> list[Row]:
    """Give one row a label of metrics."""
    return [("label", "values"), *((f"`{label}`", values) for label, values in metrics.LABELS.items())]


def panels(page: str) -> list[Row]:
    """Give one row a panel of a dashboard: its limits, what is normal, and the runbook."""
    rows = []
    for panel in _panels(page):
        normal, _, rest = panel["description"].removeprefix("**Normal:** ").partition("\n\n**Otherwise:** ")
        runbook = re.findall(r"`docs/(runbooks/\S+)`$", rest)[0]
        rows.append((panel["title"], _limits(panel["fieldConfig"]["defaults"]), normal, _link(runbook)))
    return [("panel", "turns at", "normally", "runbook"), *rows]


def _panels(page: str) -> list[dict[str, Any]]:
    told = json.loads((DASHBOARDS / page).read_text(encoding="utf-8"))
    return [panel for panel in told["panels"] if panel["type"] != "row"]


def _limits(defaults: dict[str, Any]) -> str:
    steps = [step["value"] for step in defaults["thresholds"]["steps"] if step["value"] is not None]
    shares = defaults["unit"] == "percentunit"
    unit = {"percentunit": " %", "s": " s"}.get(defaults["unit"], "")
    return ", ".join(f"{step * 100 if shares else step:g}{unit}" for step in steps)


def _link(runbook: str) -> str:
    """Name a document under `docs/` by its heading."""
    title = (ROOT / "docs" / runbook).read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")
    return f"[{title.removeprefix('Runbook: ')}]({runbook})"


def alerts() -> list[Row]:
    """Give one row an alert: what it says, what its rule asks for, and the panels that show the same metrics."""
    shown = [panel for page in _pages() for panel in _panels(page)]
    rows = []
    for rule in _rules():
        words = re.sub(r"\{\{ \$labels\.(\w+) \}\}", r"`\1`", rule["annotations"]["summary"])
        asked = set(re.findall(r"ai_agents_\w+", rule["expr"]))
        runbook = rule["annotations"]["runbook_url"].removeprefix("docs/")
        of_runbook = [panel for panel in shown if runbook in panel["description"]]
        seen = [panel["title"] for panel in of_runbook if any(one in json.dumps(panel["targets"]) for one in asked)]
        rows.append(
            (
                f"[{rule['alert']}]({runbook}#{rule['alert'].lower()})",
                re.sub(r"\{\{ \$value.*? \}\}", "…", words),
                ", ".join(f"`{limit}`" for limit in re.findall(r"[<>]=? (?!0\b(?!\.))[\d.]+(?! \*)", rule["expr"])),
                rule["for"],
                rule["labels"]["severity"],
                ", ".join(seen[:4]),
            )
        )
    return [("alert", "says", "limits of its rule", "for", "severity", "panels of the same metrics"), *rows]


def runbooks() -> list[Row]:
    """Give one row a runbook, with the alerts that lead to it."""
    rows = []
    for path in sorted((ROOT / "docs" / "runbooks").glob("*.md")):
        led = [rule["alert"] for rule in _rules() if rule["annotations"]["runbook_url"].endswith(path.name)]
        rows.append((_link(f"runbooks/{path.name}"), ", ".join(f"`{alert}`" for alert in led)))
    return [("runbook", "alerts"), *rows]


def _pages() -> list[str]:
    return [path.name for path in sorted(DASHBOARDS.glob("*.json"), reverse=True)]


def _rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]
    return [rule for rule in group["rules"] if "alert" in rule]


def statuses() -> list[Row]:
    """Give one row a status that a webhook is answered with, with the reasons that the log has."""
    meant = {202: "Taken, or known already: `job_id` is what the logs call it"}
    meant |= {int(status): told["description"] for status, told in ANSWERS.items()}
    meant |= {404: "Another address", 405: "Another method than POST"}
    refused = refusals()
    rows = []
    for status, meaning in sorted(meant.items()):
        reasons = sorted(reason for of, reason in refused if of == status)
        rows.append((str(status), meaning, ", ".join(f"`{reason}`" for reason in reasons)))
    return [("status", "means", "reasons in the log"), *rows]


def refusals() -> set[tuple[int, str]]:
    """Find each status of a refused webhook with each of its reasons, as the API's code has them."""
    found: set[tuple[int, str]] = set()
    for path in sorted((ROOT / "api").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                found |= set(_refusals_of(node))
    # The words of an answer; the line of it is another.
    return found - {(503, "try again later")}


def _refusals_of(call: ast.Call) -> Iterator[tuple[int, str]]:
    """Find what begins with a status and a reason, or is a line that names both."""
    name = getattr(call.func, "id", "") or getattr(call.func, "attr", "")
    named = {keyword.arg: keyword.value.value for keyword in call.keywords if isinstance(keyword.value, ast.Constant)}
    match [argument.value for argument in call.args[:2] if isinstance(argument, ast.Constant)]:
        case [int(status), str(reason)] if status < 500 and re.search("refuse|HTTPException", name, re.IGNORECASE):
            yield status, reason
        case [str(reason), *_] if name == "SignatureRefused":
            yield 403, reason
    if name == "say" and "status" in named:
        yield int(str(named["status"])), str(named["reason"])


def exit_rows() -> list[Row]:
    """Give one row an exit status, of commands and of processes."""
    of_commands, of_processes = exits.OF_COMMANDS, exits.OF_PROCESSES
    statuses = sorted(of_commands.keys() | of_processes.keys())
    rows = [(str(status), of_commands.get(status, ""), of_processes.get(status, "")) for status in statuses]
    return [("status", "of a command", "of `api`, `worker`, `housekeeping` or `console`"), *rows]


def check_rows() -> list[Row]:
    """Give one row a row of `ai-agents check`."""
    return [("row", "in order when"), *((f"`{name}`", meaning) for name, meaning in CHECKS.items())]


def redaction_rows() -> list[Row]:
    """Give a row a kind of personal data: the share of it that redaction hides in the marked texts of the tests."""
    from tests.privacy import measure  # noqa: PLC0415 -- tests are not there where this runs for nothing else

    return measure.rows()


TABLES: dict[str, Table] = {
    "checks": check_rows,
    "settings": settings,
    "tenant settings": tenant_settings,
    "tenant keys": tenant_keys,
    "console access": console_access,
    "metrics": metric_rows,
    "labels": label_rows,
    "operations": lambda: panels("operations.json"),
    "baseline": lambda: panels("baseline.json"),
    "alerts": alerts,
    "runbooks": runbooks,
    "statuses": statuses,
    "exits": exit_rows,
    "verdicts": document_verdicts.rows,
    "limits": document_limits.rows,
    "sizes": document_limits.sizes,
    "transitions": transitions.rows,
    "redaction": redaction_rows,
}


def filled(text: str, tables: Mapping[str, Table] = TABLES) -> str:
    """Write each table of a document anew. Raises KeyError for a name that there is not."""
    return _MARKED.sub(lambda found: f"{found[1]}\n{markdown(tables[found[2]]())}\n\n{found[3]}", text)


def markdown(rows: list[Row]) -> str:
    """Write rows as a table; the first is its head."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def documents() -> list[Path]:
    """List every document: those under `docs/`, and those of the project's first page."""
    return [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


if __name__ == "__main__":
    for path in documents():
        before = path.read_text(encoding="utf-8")
        if (after := filled(before)) != before:
            path.write_text(after, encoding="utf-8")
            print(f"written: {path.relative_to(ROOT)}")
