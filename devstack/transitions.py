"""The transitions of a job, as the comments of `storage/functions.sql` tell them: what docs/dev/states.md shows."""

import re
from pathlib import Path
from typing import NamedTuple

FUNCTIONS = Path(__file__).resolve().parents[1] / "storage" / "functions.sql"
_LINE = re.compile(r"^-- state: (\S+) -> (\S+): (.+)$|^CREATE OR REPLACE FUNCTION (\w+)", re.MULTILINE)


class Transition(NamedTuple):
    """One change that a function makes; `[*]` is the state before there is a row."""

    before: str
    after: str
    what: str
    function: str


def transitions() -> list[Transition]:
    """List them in the order of the file."""
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
    """Give one row a transition."""
    return [
        ("before", "after", "what happened", "function"),
        *((f"`{one.before}`", f"`{one.after}`", one.what, f"`{one.function}`") for one in transitions()),
    ]
