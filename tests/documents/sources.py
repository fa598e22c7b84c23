"""What there is to be mentioned, from its single source in the code: metrics, settings, addresses, alerts, panels."""

import json
import re
from functools import cache

from prometheus_client import REGISTRY
from prometheus_client.metrics import MetricWrapperBase

from api import health, webhook
from config.settings import ApiSettings, ByHandSettings, HousekeepingSettings, MigrateSettings, WorkerSettings
from config.tenants import TENANT_SETTINGS
from dispatch import inbox
from integrations import rate
from integrations.servicedesk import tokens as desk_tokens
from observability import metrics, tracing
from observability.identifiers import TAGS
from storage.models import Base
from tests.documents.documents import ROOT
from workflow import kept_answers as answers

ALERTS = ROOT / "observability" / "prometheus" / "alerts.yaml"


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
    found = [route for router in (webhook.router, health.router, health.probes) for route in router.routes]
    return frozenset(str(getattr(route, "path", "")) for route in found) | {"/metrics", "/docs", "/openapi.json"}


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
def stored() -> frozenset[str]:
    """Tables, their columns, and how the keys in Redis begin: `test_data_page.py` says where they stand."""
    tables = Base.metadata.tables
    columns = {column.name for table in tables.values() for column in table.columns}
    keys = {answers.ANSWER, answers.UNUSABLE, answers.LOOK, inbox.INBOX, inbox.DELIVERY, rate.KEY, desk_tokens.KEY}
    return frozenset({*tables, *columns, *keys})


def is_stored(text: str) -> bool:
    """Whether it names one of those; of a key what is not the same for all stands in angle brackets."""
    return re.sub(r"<.*", "", text) in stored()
