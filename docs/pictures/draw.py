# /// script
# requires-python = ">=3.11"
# dependencies = ["matplotlib==3.11.2"]
# ///
"""Draw the dashboards' panels from answers of Prometheus; recorded by `python -m tests.observability.dashboards`.

Layout, titles, units, limits and legends are those of the dashboards' files; Grafana itself takes no part.
"""

import json
import math
import re
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator
from PIL import Image
from PIL.PngImagePlugin import PngInfo

HERE = Path(__file__).parent
PAGES = HERE.parents[1] / "observability" / "grafana" / "dashboards"
COLOURS = {"green": "#73bf69", "yellow": "#fade2a", "orange": "#ff9830", "red": "#f2495c"}
LINES = ["#73bf69", "#5794f2", "#ff9830", "#b877d9", "#fade2a", "#f2495c", "#37872d", "#c0d8ff"]
PAPER, PANEL, EDGE, TEXT, FAINT = "#111217", "#181b1f", "#2c3235", "#ccccdc", "#8e8e9a"
UNIT, ROW = 62.0, 34.0
"""Height and width in pixels of one unit of Grafana's grid (24 columns); the width of a row is UNIT * 24."""
DPI = 100
NAMES_SHOWN = 6
MINUTES = (30, 60, 120, 300, 600, 1800, 3600)
Panel = dict[str, Any]


def shown(value: float, unit: str) -> str:
    """Return a value as Grafana would write it, about."""
    if unit == "percentunit":
        return f"{value * 100:.3g} %"
    if unit == "short" and value >= 10_000:
        return f"{value / 1000:.3g} K"
    if unit == "bytes":
        return f"{value / 1e6:.0f} MB"
    if unit == "currencyUSD":
        return f"${value:.4g}"
    if unit == "s":
        return (
            f"{value * 1000:.0f} ms" if 0 < value < 1 else f"{value:.3g} s" if value < 120 else f"{value / 60:.3g} min"
        )
    return f"{value:.4g}"


def series_of(recorded: list[dict[str, Any]]) -> list[tuple[str, list[float], list[float]]]:
    """Name, seconds and values of each series of a panel."""
    found = []
    for query in recorded:
        for series in query["series"]:
            name = re.sub(r"{{(\w+)}}", lambda label, of=series: of["metric"].get(label[1], ""), query["legend"])
            values = [(float(at), float(value)) for at, value in series["values"]]
            found.append((name, [at for at, _ in values], [value for _, value in values]))
    return found


def limits_of(panel: Panel) -> list[tuple[float, str]]:
    """Return the limits of a panel, each with its colour."""
    steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    if steps[0]["color"] == "red":
        return [(steps[1]["value"], COLOURS["red"])]
    return [(step["value"], COLOURS[step["color"]]) for step in steps[1:]]


def lines(axes: Axes, panel: Panel, recorded: list[dict[str, Any]]) -> None:
    """Draw a time series, with its limits dashed."""
    defaults = panel["fieldConfig"]["defaults"]
    top, bottom = 0.0, math.inf
    for number, (name, at, values) in enumerate(series_of(recorded)):
        colour = LINES[number % len(LINES)]
        axes.plot(at, values, color=colour, linewidth=1.6, label=name if number < NAMES_SHOWN else None)
        axes.fill_between(at, values, color=colour, alpha=0.07, linewidth=0)
        top = max([top, *(value for value in values if math.isfinite(value))])
        bottom = min([bottom, *(value for value in values if math.isfinite(value))])
    custom = defaults["custom"]
    if "scaleDistribution" in custom:
        axes.set_yscale("log")
        axes.set_ylim(0.01, max(100, top * 1.5))
    elif "axisSoftMax" in custom:
        low, high = min(custom["axisSoftMin"], bottom), max(custom["axisSoftMax"], top)
        axes.set_ylim(low, high + (high - low) * 0.05)
        axes.yaxis.set_major_locator(MaxNLocator(5))
    else:
        near = [limit for limit, _ in limits_of(panel) if limit < 2 * top or limit <= 1]
        axes.set_ylim(0, max([top * 1.15, *(limit * 1.1 for limit in near)]) or 1)
        axes.yaxis.set_major_locator(MaxNLocator(5, integer=defaults["unit"] == "short" and top > 1))
        if defaults["unit"] == "s" and top >= 60:
            axes.yaxis.set_major_locator(MultipleLocator(next(step for step in MINUTES if step >= top / 5)))
    for limit, colour in limits_of(panel):
        if limit <= axes.get_ylim()[1]:
            axes.axhline(limit, color=colour, linewidth=1, linestyle=(0, (5, 4)), alpha=0.9)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: shown(value, defaults["unit"])))


def figure(axes: Axes, panel: Panel, recorded: list[dict[str, Any]]) -> None:
    """Draw the last value, large, of each series that is still there."""
    found = series_of(recorded)
    end = max(at[-1] for _, at, _ in found)
    now = [(name, values[-1]) for name, at, values in found if at[-1] == end]
    axes.set_axis_off()
    unit = panel["fieldConfig"]["defaults"]["unit"]
    falling = panel["fieldConfig"]["defaults"]["thresholds"]["steps"][0]["color"] == "red"
    for number, (name, value) in enumerate(now):
        reached = [colour for limit, colour in limits_of(panel) if value >= limit]
        colour = COLOURS["green"] if falling == bool(reached) else limits_of(panel)[-1][1]
        high = 1 - (number + 0.5) / len(now)
        axes.text(0.4, high, shown(value, unit), color=colour, fontsize=28, ha="center", transform=axes.transAxes)
        axes.text(0.4, high - 0.14, name, color=FAINT, fontsize=8, ha="center", transform=axes.transAxes)


def states(axes: Axes, panel: Panel, recorded: list[dict[str, Any]]) -> None:
    """One bar a series, green at 0 and red at 1."""
    found = series_of(recorded)
    for number, (_, at, values) in enumerate(found):
        width = at[1] - at[0]
        colours = [COLOURS["red"] if value else COLOURS["green"] for value in values]
        axes.bar(at, 0.7, width, len(found) - number - 1 + 0.15, color=colours, align="edge")
    # Who is held, and below it why.
    names = [name.replace(": ", ":\n") for name, *_ in found]
    axes.set_yticks([len(found) - number - 0.5 for number in range(len(found))], names)
    axes.set_ylim(0, len(found))
    (mapping,) = panel["fieldConfig"]["defaults"]["mappings"]
    for option in mapping["options"].values():
        axes.bar(0, 0, color=COLOURS[option["color"]], label=option["text"])


DRAWN = {"timeseries": lines, "stat": figure, "state-timeline": states}


def draw(page: dict[str, Any], recorded: dict[str, Any], panels: dict[str, Any]) -> plt.Figure:
    """Return a whole dashboard."""
    height = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in page["panels"]) + 1.4
    across, down = 24 * UNIT, height * ROW
    paper = plt.figure(figsize=(across / DPI, down / DPI), dpi=DPI, facecolor=PAPER)
    paper.text(0.008, 1 - 0.7 * ROW / down, page["title"], color=TEXT, fontsize=15, va="center", weight="bold")
    for panel in page["panels"]:
        box = panel["gridPos"]
        left, top = box["x"] * UNIT, (box["y"] + 1.4) * ROW
        wide, high = box["w"] * UNIT, box["h"] * ROW
        if panel["type"] == "row":
            paper.text(
                (left + 12) / across, 1 - (top + high / 2) / down, panel["title"], color=TEXT, fontsize=12, va="center"
            )
            continue
        frame = ((left + 4) / across, 1 - (top + high - 4) / down, (wide - 8) / across, (high - 8) / down)
        paper.add_artist(
            plt.Rectangle(
                frame[:2], frame[2], frame[3], facecolor=PANEL, edgecolor=EDGE, transform=paper.transFigure, zorder=-1
            )
        )
        title = panel["title"]
        paper.text((left + 14) / across, 1 - (top + 20) / down, title, color=TEXT, fontsize=11, va="center")
        margin = 150 if panel["type"] == "state-timeline" else 66
        axes = paper.add_axes(
            (
                (left + margin) / across,
                1 - (top + high - 78) / down,
                (wide - margin - 16) / across,
                (high - 118) / down,
            ),
            facecolor=PANEL,
        )
        DRAWN[panel["type"]](axes, panel, panels[title])
        if panel["type"] != "stat":
            _finish(axes, recorded, wide)
    return paper


def _finish(axes: Axes, recorded: dict[str, Any], wide: float) -> None:
    start, end = recorded["start"], recorded["end"]
    axes.set_xlim(start, end)
    axes.set_xticks([start + minute * 60 for minute in range(0, int((end - start) / 60) + 1, 1 if wide > 500 else 3)])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda at, _: f"{(at - start) / 60:.0f}:00"))
    axes.grid(color=EDGE, linewidth=0.6)
    axes.tick_params(colors=FAINT, labelsize=8, length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    if axes.get_legend_handles_labels()[1]:
        columns = 4 if wide > 8 * UNIT else 2 if wide > 6 * UNIT else 1
        axes.legend(
            loc="upper left",
            bbox_to_anchor=(-0.02, -0.1),
            ncols=columns,
            fontsize=8,
            frameon=False,
            labelcolor=TEXT,
            handlelength=1.2,
            columnspacing=1.2,
            labelspacing=0.25,
            borderaxespad=0,
        )


def main() -> None:
    """Draw each dashboard beside this script."""
    mpl.use("agg")
    recorded = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    for name, panels in recorded["pages"].items():
        page = json.loads((PAGES / name).read_text(encoding="utf-8"))
        path = HERE / f"{Path(name).stem}.png"
        draw(page, recorded, panels).savefig(path)
        # Which panels these are: a test holds the pictures to the files.
        stamp = PngInfo()
        stamp.add_text("Panels", recorded["digests"][name])
        # Few colours: a third of the size.
        Image.open(path).convert("RGB").quantize(160).save(path, optimize=True, pnginfo=stamp)


if __name__ == "__main__":
    main()
