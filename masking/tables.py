"""Tables in plain text: the cells under a head, whose meaning stands in the head alone."""

import re
from collections.abc import Iterator
from typing import NamedTuple

_MOST_CELLS, _MOST_ROWS = 20, 500
_LINE = re.compile(r"[^\n]+")
# What cells are divided by.
_MARKS = ("|", ";", "\t", "  ")
# A head and a row of three cells have more.
_COMMAS = 3
# Columns that blanks divide have no empty cell.
_BLANKS = re.compile(r" {2,60}")
_OF_NAMES = re.compile(
    r"(?<![^\W_])(?:name|names|nachname|vorname|surname|student|patient|employee|mitarbeiter|kunde|customer|member"
    r"|mitglied|person)(?![^\W_])"
)
_NO_HEAD = re.compile(r"\d{3}|@")


class Cell(NamedTuple):
    """A cell, with the words above it in small letters."""

    head: str
    begin: int
    end: int
    is_named: bool = False
    """Whether a column beside has names of people."""


def cells_of(text: str) -> Iterator[Cell]:
    """Find the cells of each table: a line of words in cells, and the lines after it with as many."""
    if "\n" not in text or not (any(mark in text for mark in _MARKS) or text.count(",") > _COMMAS):
        return
    lines = [(found.start(), found[0]) for found in _LINE.finditer(text)]
    place = 0
    while place < len(lines):
        mark = _mark(lines[place][1])
        heads = [each.strip().lower() for each in _split(lines[place][1], mark)] if mark else []
        least = 2 if mark in "|;\t" else 3
        if not least <= len(heads) <= _MOST_CELLS or any(len(head) > 30 or _NO_HEAD.search(head) for head in heads):
            place += 1
            continue
        place += 1
        is_named = any(_OF_NAMES.search(head) for head in heads)
        for at, line in lines[place : place + _MOST_ROWS]:
            if len(values := _split(line, mark)) != len(heads):
                break
            place += 1
            end = 0
            for head, value in zip(heads, values, strict=True):
                begin = line.find(value, end)
                end = begin + len(value)
                if stripped := value.strip():
                    begun = at + begin + value.find(stripped)
                    yield Cell(head, begun, begun + len(stripped), is_named)


def _mark(line: str) -> str:
    mark = next((mark for mark in "|;\t," if line.count(mark) > (mark == ",")), "")
    return mark or ("  " if line.count("  ") > 1 else "")


def _split(line: str, mark: str) -> list[str]:
    return _BLANKS.split(line.strip(" ")) if mark == "  " else line.split(mark)
