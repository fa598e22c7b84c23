"""The two dashboards, and the files that Grafana reads."""

from collections.abc import Iterable
from pathlib import Path

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

from observability.grafana import baseline, operations
from observability.grafana.panels import SOURCE, Panel

FOLDER = Path(__file__).with_name("dashboards")
WINDOWS = ("1m", "5m", "10m", "30m", "1h", "6h", "1d")
WINDOW = "10m"
"""What rates and counts are taken over unless the reader chooses otherwise; the alerts take the same."""
FIRING = 'ALERTS{alertname=~"AiAgents.*", alertstate="firing"}'

Section = tuple[str, tuple[Panel, ...]]


def files() -> dict[str, str]:
    """Return the text of each file, by its name."""
    made = {
        "operations.json": _dashboard("Operations Dashboard", "ai-agents-operations", operations.SECTIONS, "now-3h"),
        "baseline.json": _dashboard("Baseline Metrics", "ai-agents-baseline", baseline.SECTIONS, "now-24h"),
    }
    encoder = JSONEncoder(indent=2, sort_keys=True, ensure_ascii=False)
    return {name: encoder.encode(builder.build()) + "\n" for name, builder in made.items()}


def _dashboard(title: str, uid: str, sections: Iterable[Section], since: str) -> dashboard.Dashboard:
    page = dashboard.Dashboard(title).uid(uid).tags(["ai-agents"]).timezone("browser").readonly()
    page.description("Each panel's description says what normal looks like and what to do. See docs/dashboards.md.")
    page.time(since, "now").refresh("30s").tooltip(DashboardCursorSync.CROSSHAIR)
    for variable in _variables():
        page.with_variable(variable)
    others = dashboard.DashboardLink("Other dashboards").type(DashboardLinkType.DASHBOARDS)
    page.link(others.tags(["ai-agents"]).keep_time(True).include_vars(True))
    fired = dashboard.AnnotationQuery().name("Alerts").datasource(SOURCE).enable(True).hide(False).icon_color("red")
    page.annotation(fired.expr(FIRING))
    number = 0
    for heading, panels in sections:
        number += 1
        page.with_row(dashboard.Row(heading).id(number))
        for panel in panels:
            number += 1
            page.with_panel(panel.build(number))
    return page


def _variables() -> list[dashboard.DatasourceVariable | dashboard.QueryVariable | dashboard.IntervalVariable]:
    source = dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus")
    tenant = dashboard.QueryVariable("tenant").label("Tenant").datasource(SOURCE).multi(True).include_all(True)
    tenant.query("label_values(ai_agents_job_duration_seconds_count, tenant_id)").sort(VariableSort.ALPHABETICAL_ASC)
    tenant.all_value(".*").refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
    tenant.current(VariableOption(selected=True, text="All", value="$__all"))
    window = dashboard.IntervalVariable("window").label("Window").values(",".join(WINDOWS))
    window.description("What rates and counts are taken over. Longer windows suit longer ranges.")
    window.current(VariableOption(selected=True, text=WINDOW, value=WINDOW))
    window.options([VariableOption(selected=name == WINDOW, text=name, value=name) for name in WINDOWS])
    return [source, tenant, window]
