"""Two model answers side by side, wrapped to the terminal's width."""

import textwrap
from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest
from typing import Any

from support.tables import clean

_GAP = "  "
_NARROWEST = 20
_WIDTH = 120
"""Where standard output is no terminal."""

SideRow = tuple[str, Sequence[str], Sequence[str]]
"""What it is, and the paragraphs of both sides."""


def side_by_side(rows: Sequence[SideRow], width: int | None) -> str:
    """Return a row for each in two columns; an equal right side says `the same`."""
    size = max(len(name) for name, _, _ in rows)
    column = max(_NARROWEST, ((width or _WIDTH) - size - 2 * len(_GAP)) // 2)
    lines = []
    for name, left, right in rows:
        shown = ["the same"] if right and right == left else right
        told = zip_longest(_wrapped(left, column), _wrapped(shown, column), fillvalue="")
        for number, (one, other) in enumerate(told):
            begin = name if number == 0 else ""
            lines.append(f"{begin.ljust(size)}{_GAP}{one.ljust(column)}{_GAP}{other}".rstrip())
    return "\n".join(lines)


def _wrapped(paragraphs: Sequence[str], column: int) -> list[str]:
    return [line for each in paragraphs for line in textwrap.wrap(clean(each), column)] or [""]


def parts_of(answer: Mapping[str, Any], titles: Mapping[str, str]) -> dict[str, list[str]]:
    """Return the comparable parts of an answer; `titles` are its sources' by id.

    An answer of another release may have another form; a part that it lacks is `-`.
    """
    parts: dict[str, Callable[[], list[str]]] = {
        "summary": lambda: [str(answer["summary"])],
        "cause": lambda: [_claim(answer["likely_cause"])],
        "steps": lambda: [f"{number}. {_claim(step)}" for number, step in enumerate(answer["next_steps"], 1)],
        "sources": lambda: [
            f"{each['id']} {titles.get(each['id'], '(was not found)')}: {each['gives']}" for each in answer["sources"]
        ],
        "confidence": lambda: [str(answer["confidence"])],
        "questions": lambda: [*map(str, answer["questions"])],
    }
    told = {}
    for name, part in parts.items():
        try:
            told[name] = part()
        except (LookupError, TypeError):
            told[name] = ["-"]
    return told


def _claim(said: Mapping[str, Any]) -> str:
    return f"{said['text']} [{', '.join(said['sources'])}]" if said["sources"] else str(said["text"])
