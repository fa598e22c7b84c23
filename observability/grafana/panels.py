"""A panel in our words, and what Grafana's builders make of it."""

from dataclasses import dataclass
from typing import Literal

from grafana_foundation_sdk.builders import common, prometheus, stat, statetimeline, timeseries
from grafana_foundation_sdk.builders.dashboard import ThresholdsConfig
from grafana_foundation_sdk.models.common import (
    GraphThresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    ScaleDistribution,
    TooltipDisplayMode,
    VisibilityMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DataSourceRef,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMapping,
    ValueMappingResult,
)

SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
RUNBOOKS = "docs/runbooks"
_COLOURS = ("yellow", "orange", "red")

Kind = Literal["lines", "figure", "states"]
Builder = timeseries.Panel | stat.Panel | statetimeline.Panel


@dataclass(frozen=True)
class Query:
    """PromQL, and the name of each of its series in the legend."""

    expr: str
    legend: str


@dataclass(frozen=True)
class Panel:
    """One panel, with what a reader at 3 a.m. needs to know of it.

    `unit` is Grafana's id of a unit. `limits` are where it turns bad, in that unit, the last one red; with `falling`
    the one limit is where it stops being bad. `kind` says how it looks; where that is "states", `states` are the names
    of 0 and 1. `width` is in 24ths of the page. `runbook` is a file of docs/runbooks. `likely` is the range that the
    axis has at least, instead of beginning at 0. `nothing` is what is shown where a query finds nothing, as may be.
    """

    title: str
    unit: str
    queries: tuple[Query, ...]
    normal: str
    otherwise: str
    runbook: str
    limits: tuple[float, ...] = ()
    falling: bool = False
    kind: Kind = "lines"
    states: tuple[str, str] = ("closed", "open")
    width: int = 8
    height: int = 8
    logarithmic: bool = False
    likely: tuple[float, float] | None = None
    decimals: int | None = None
    nothing: str = ""

    @property
    def description(self) -> str:
        """What normal looks like, what to do otherwise, and where to read more; Grafana shows it as Markdown."""
        return (
            f"**Normal:** {self.normal}\n\n**Otherwise:** {self.otherwise}\n\n**Runbook:** `{RUNBOOKS}/{self.runbook}`"
        )

    @property
    def thresholds(self) -> list[Threshold]:
        """The colours from the bottom up; the first has no value."""
        if self.falling:
            return [Threshold(color="red", value=None), Threshold(color="green", value=self.limits[0])]
        colours = _COLOURS[len(_COLOURS) - len(self.limits) :]
        raised = [Threshold(color=colour, value=limit) for colour, limit in zip(colours, self.limits, strict=True)]
        return [Threshold(color="green", value=None), *raised]

    def build(self, number: int) -> Builder:
        """Grafana's builder of it; `number` is its id in its dashboard."""
        panel: Builder
        if self.kind == "lines":
            panel = self._lines()
        elif self.kind == "states":
            panel = statetimeline.Panel().row_height(0.8).line_width(0).fill_opacity(80)
            panel.legend(_legend()).mappings(_mappings(*self.states))
        else:
            panel = stat.Panel().reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        panel.id(number).title(self.title).description(self.description).unit(self.unit).datasource(SOURCE)
        panel.span(self.width).height(self.height)
        panel.thresholds(ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(self.thresholds))
        if self.decimals is not None:
            panel.decimals(self.decimals)
        if self.nothing:
            panel.no_value(self.nothing)
        for letter, query in zip("ABCDEFGH", self.queries, strict=False):
            target = prometheus.Dataquery().expr(query.expr).legend_format(query.legend).ref_id(letter)
            # A figure is of now: of a range it would be the newest value of series that are long gone.
            target = target.instant() if self.kind == "figure" else target.range()
            panel.with_target(target.datasource(SOURCE))
        return panel

    def _lines(self) -> timeseries.Panel:
        panel = timeseries.Panel().line_width(2).fill_opacity(8).show_points(VisibilityMode.AUTO)
        panel.legend(_legend()).tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
        if self.likely is not None:
            panel.axis_soft_min(self.likely[0]).axis_soft_max(self.likely[1])
        else:
            panel.min(0)
        if self.limits:
            panel.thresholds_style(common.GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.DASHED))
        if self.logarithmic:
            panel.min(0.01)
            panel.scale_distribution(common.ScaleDistributionConfig().type(ScaleDistribution.LOG).log(10))
        return panel


def _legend() -> common.VizLegendOptions:
    legend = common.VizLegendOptions().show_legend(True)
    return legend.display_mode(LegendDisplayMode.LIST).placement(LegendPlacement.BOTTOM)


def _mappings(good: str, bad: str) -> list[ValueMapping]:
    options = {
        "0": ValueMappingResult(text=good, color="green", index=0),
        "1": ValueMappingResult(text=bad, color="red", index=1),
    }
    return [ValueMap(options=options)]
