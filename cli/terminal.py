"""Tables, JSON and prompts on the terminal, for people and machines."""

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from observability.formats import clean

_GAP = "  "
_INDENT = "    "


def table(head: Sequence[str], rows: Sequence[Sequence[str]], width: int | None) -> str:
    """Format columns under a head; the last one is free text.

    `width` is the terminal's in characters: a longer row has its last cell on a line below. None: one line a row, for
    grep and awk.
    """
    cells = [[clean(cell) for cell in row] for row in (head, *rows)]
    fixed = [max(len(row[column]) for row in cells) for column in range(len(head) - 1)]
    lines: list[str] = []
    for row in cells:
        start = _GAP.join(cell.ljust(size) for cell, size in zip(row, fixed, strict=False))
        line = f"{start}{_GAP}{row[-1]}".rstrip()
        if width is not None and len(line) > width and row[-1]:
            lines += [start.rstrip(), f"{_INDENT}{row[-1]}"]
        else:
            lines.append(line)
    return "\n".join(lines)


def terminal_width() -> int | None:
    return os.get_terminal_size(sys.stdout.fileno()).columns if sys.stdout.isatty() else None


def stop_printing() -> None:
    """Discard further output, after a closed pipe (`| head`) or on a full disk."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def as_json(value: Sequence[Mapping[str, Any]] | Mapping[str, Any], indent: int | None = 2) -> str:
    """Return JSON with ids as text and ISO times, escaped for terminals."""
    written = json.dumps(value, default=_text, indent=indent, ensure_ascii=False)
    # Line breaks are ours: json escapes those of values, like all characters below a space.
    return "".join(
        character if character.isprintable() or character == "\n" else json.dumps(character)[1:-1]
        for character in written
    )


def _text(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def confirmed(question: str, chosen: argparse.Namespace, doing: str) -> bool:
    """Return True for y or `--yes`; exit with 2 if no prompt is possible."""
    if chosen.yes:
        return True
    if not sys.stdin.isatty():
        chosen.refuse(f"standard input is not a terminal: give --yes to {doing} without confirmation")
    # Standard output is for the result.
    sys.stdout.flush()
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
