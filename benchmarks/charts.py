"""Bar charts as SVG."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _LABELS, _VALUES, _ROW, _TOP, _BOTTOM = 800, 330, 80, 30, 54, 34
_OURS, _OTHERS, _TEXT = "#2a7f62", "#9aa5b1", "#57606a"


@dataclass(frozen=True, slots=True)
class Bar:
    """A labelled figure; ours have their own colour."""

    label: str
    value: float
    ours: bool = False


def bars(title: str, unit: str, found: Sequence[Bar], below: str) -> str:
    """Return an SVG with one bar for each figure, scaled linearly; `below` is small print."""
    height = _TOP + _ROW * len(found) + _BOTTOM
    most = max(bar.value for bar in found) or 1.0
    rows = "\n".join(_row(bar, _TOP + _ROW * number, bar.value / most) for number, bar in enumerate(found))
    box = f'viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif" role="img"'
    return f"""<svg xmlns="http://www.w3.org/2000/svg" {box}>
<title>{escape(title)}</title>
<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>
{_text(12, 24, title, size=17)}
{_text(12, 42, unit, size=12)}
{rows}
{_text(12, height - 12, below, size=11)}
</svg>
"""


def _row(bar: Bar, top: int, share: float) -> str:
    width = max(1.0, share * (_WIDTH - _LABELS - _VALUES))
    color = _OURS if bar.ours else _OTHERS
    box = f'<rect x="{_LABELS}" y="{top + 4}" width="{width:.1f}" height="{_ROW - 10}" fill="{color}"/>'
    label = _text(_LABELS - 8, top + 19, bar.label.replace("`", ""), size=13, anchor="end")
    return "\n".join((label, box, _text(_LABELS + width + 6, top + 19, f"{bar.value:,.4g}", size=13)))


def _text(x: float, y: float, words: str, *, size: int, anchor: str = "start") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}"'
    return f'<text {place} font-size="{size}" text-anchor="{anchor}" fill="{_TEXT}">{escape(words)}</text>'
