"""Record the demo as an animated picture: SVG and CSS alone, without scripts and fonts.

`make pictures` runs it.
"""

import io
import re
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1]))

from rich.console import Console  # noqa: E402 -- behind the path
from rich.panel import Panel  # noqa: E402
from rich.terminal_theme import TerminalTheme  # noqa: E402
from rich.tree import Tree  # noqa: E402

from dev.stack import demo  # noqa: E402

FILE = HERE / "demo.svg"
COLUMNS, ROWS = 104, 30
# A start takes seconds in which nothing is printed; what comes at once needs time to be read.
_LONGEST_PAUSE, _READING, _END = 1.0, 4.0, 5.0
_CHARACTER, _LINE, _MARGIN = 12.2, 24.4, 18
# Dark in each mode of the page around it, as a terminal is.
_THEME = TerminalTheme((13, 17, 23), (230, 237, 243), [(110, 118, 129)] * 8, [(230, 237, 243)] * 8)
_SVG = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">
<title>make demo: four tickets get their notes</title>
<style>
text {{ font: 20px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; white-space: pre }}
{styles}
.part {{ animation: {seconds:.1f}s steps(1) infinite }}
@media (prefers-reduced-motion: reduce) {{ .part {{ animation: none }} }}
{keyframes}
</style>
<rect width="{width}" height="{height}" rx="10" fill="#0d1117" stroke="#30363d"/>
<svg x="{margin}" y="{margin}" width="{inner_width}" height="{inner_height}" viewBox="0 2 {inner_width} {inner_height}">
<g id="all" class="part">
{lines}
</g></svg></svg>
"""


# Clipping is needless, since no line is longer than the picture is wide.
_TEXT = re.compile(r'(<text [^>]*) clip-path="url\(#t-line-(\d+)\)">(.*?)</text>', re.DOTALL)


class Recorder(Console):
    """A console that stores the moment of each line."""

    def __init__(self) -> None:
        self._written = io.StringIO()
        super().__init__(file=self._written, record=True, width=COLUMNS, force_terminal=True)
        self.steps: list[tuple[float, int]] = [(0.0, 0)]
        """Seconds of the picture, and the number of lines then."""
        self._last, self._reading = time.monotonic(), 0.0

    def print(self, *objects: Any, **options: Any) -> None:
        super().print(*objects, **options)
        now = time.monotonic()
        # The log lines before a command are read too.
        reading = _READING if str(objects[0]).startswith("\n$ ") else self._reading
        pause = max(min(now - self._last, _LONGEST_PAUSE), reading)
        self._last, self._reading = now, _READING if isinstance(objects[0], Panel | Tree) else 0.0
        self.steps.append((self.steps[-1][0] + pause, self._written.getvalue().count("\n")))


def animated(recorder: Recorder) -> str:
    """Return the picture: each step shows its lines, and scrolls to the last one."""
    seconds = recorder.steps[-1][0] + _END
    drawn = recorder.export_svg(theme=_THEME, code_format="{styles}\0{matrix}", unique_id="t")
    styles, matrix = drawn.split("\0")
    rows: dict[int, list[str]] = {}
    for begin, number, text in _TEXT.findall(matrix):
        if text.strip():
            rows.setdefault(int(number), []).append(f"{begin}>{text}</text>")
    lines, keyframes, scrolls = [], [], ["0% { transform: none }"]
    for step, ((_, before), (moment, count)) in enumerate(zip(recorder.steps, recorder.steps[1:], strict=False)):
        share = 100 * moment / seconds
        shown = "".join(text for row in range(before, count) for text in rows.get(row, []))
        if shown:
            lines.append(f'<g class="part" style="animation-name: s{step}">{shown}</g>')
            keyframes.append(f"@keyframes s{step} {{ 0% {{ opacity: 0 }} {share:.2f}%, to {{ opacity: 1 }} }}")
        if count > ROWS:
            scrolls.append(f"{share:.2f}% {{ transform: translateY({(ROWS - count) * _LINE:.1f}px) }}")
    last = scrolls[-1].partition("% ")[2]
    keyframes += [f"#all {last}", f"#all {{ animation-name: all }} @keyframes all {{ {' '.join(scrolls)} to {last} }}"]
    inner_width, inner_height = COLUMNS * _CHARACTER, ROWS * _LINE
    return _SVG.format(
        width=round(inner_width + 2 * _MARGIN),
        height=round(inner_height + 2 * _MARGIN),
        inner_width=round(inner_width),
        inner_height=round(inner_height),
        margin=_MARGIN,
        styles=styles,
        seconds=seconds,
        keyframes="\n".join(keyframes),
        lines="\n".join(lines),
    )


def main() -> None:
    recorder, system = Recorder(), demo.demo_system()
    try:
        if not demo.play(system, recorder):
            sys.exit("A ticket got no note.")
    finally:
        system.stop()
    FILE.write_text(animated(recorder), encoding="utf-8")


if __name__ == "__main__":
    main()
