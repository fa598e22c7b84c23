"""Job transitions in the comments of `storage/functions.sql`, for the docs."""

import re
from pathlib import Path
from typing import NamedTuple

FUNCTIONS = Path(__file__).resolve().parents[1] / "storage" / "functions.sql"
_LINE = re.compile(r"^-- state: (\S+) -> (\S+): (.+)$|^CREATE OR REPLACE FUNCTION (\w+)", re.MULTILINE)


class Transition(NamedTuple):
    """A state change by a function; `[*]` is the state before there is a row."""

    before: str
    after: str
    what: str
    function: str


def transitions() -> list[Transition]:
    found: list[Transition] = []
    told: list[tuple[str, str, str]] = []
    for before, after, what, function in _LINE.findall(FUNCTIONS.read_text(encoding="utf-8")):
        if function:
            found += [Transition(*one, function) for one in told]
            told = []
        else:
            told.append((before, after, what))
    return found


def rows() -> list[tuple[str, ...]]:
    return [
        ("before", "after", "what happened", "function"),
        *((f"`{one.before}`", f"`{one.after}`", one.what, f"`{one.function}`") for one in transitions()),
    ]
