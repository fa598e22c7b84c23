"""Tables in plain text: the cells under a head, whose meaning stands in the head alone."""

import re
from collections.abc import Iterator
from typing import NamedTuple

_MOST_CELLS, _MOST_ROWS = 20, 500


class Cell(NamedTuple):
    """A cell, with the words above it in small letters."""

    head: str
    begin: int
    end: int


def cells(text: str) -> Iterator[Cell]:
    """Find the cells of each table: a line of words in cells, and the lines after it with as many."""
    lines = [(found.start(), found[0]) for found in re.finditer(r"[^\n]+", text)]
    place = 0
    while place < len(lines):
        mark = _mark(lines[place][1])
        heads = [each.strip().lower() for each in lines[place][1].split(mark)] if mark else []
        if not 3 <= len(heads) <= _MOST_CELLS or any(len(head) > 30 or re.search(r"\d{3}|@", head) for head in heads):
            place += 1
            continue
        place += 1
        for at, line in lines[place : place + _MOST_ROWS]:
            if len(values := line.split(mark)) != len(heads):
                break
            place += 1
            begin = at
            for head, value in zip(heads, values, strict=True):
                if stripped := value.strip():
                    begun = begin + value.find(stripped)
                    yield Cell(head, begun, begun + len(stripped))
                begin += len(value) + 1


def _mark(line: str) -> str:
    return next((mark for mark in "|;\t," if line.count(mark) > 1), "")
