"""Table of recognizers: pattern, evidence for and against, kind of value."""

import re
import tomllib
from collections.abc import Callable, Iterable, Iterator
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from privacy.redaction.text import ReadText

_FILE = Path(__file__).parent / "data" / "recognizers.toml"
_BREAK, _NAMED = re.compile(r"(?:\A|\n) {4,}"), re.compile(r"<<(\w+)>>")

THRESHOLD = 0.5
_CONTEXT_SCORE = 0.4
_WINDOW = 90


class Detection(NamedTuple):
    """A value in a text. `value`, if set, is restored instead of the text there."""

    begin: int
    end: int
    kind: str
    value: str | None = None


class Recognizer(NamedTuple):
    """One row of a table.

    A match starts with `score`. Words of `context` in the 90 characters before it add 0.4, a match of `against` there
    removes it, and so does a `validate` that returns False. A match counts from a score of 0.5. The value is the
    group "value", else the whole match. A text without any of the `needs` (lower case), or any of the `shapes`, is
    skipped.
    """

    kind: str
    pattern: re.Pattern[str]
    score: float = THRESHOLD
    needs: tuple[str, ...] = ()
    shapes: tuple[str, ...] = ()
    context: re.Pattern[str] | None = None
    validate: Callable[[str], bool] | None = None
    against: re.Pattern[str] | None = None


@cache
def _file() -> dict[str, Any]:
    return tomllib.loads(_FILE.read_text("utf-8"))


def fragment(name: str) -> str:
    """Return a pattern of recognizers.toml as text: `section.name`."""
    section, _, key = name.partition(".")
    text = _BREAK.sub("", _file()["patterns"][section][key])
    return _NAMED.sub(lambda found: fragment(f"{section}.{found[1]}"), text)


def pattern(name: str) -> re.Pattern[str]:
    return re.compile(fragment(name))


def patterns(section: str, names: str) -> list[re.Pattern[str]]:
    return [pattern(f"{section}.{name}") for name in names.split()]


def table(name: str) -> tuple[Recognizer, ...]:
    return tuple(_recognizer(row) for row in _file()[name])


def _recognizer(row: dict[str, Any]) -> Recognizer:
    text, context, against = (_BREAK.sub("", row.get(key, "")) for key in ("pattern", "context", "against"))
    return Recognizer(
        row["kind"],
        re.compile(text),
        row.get("score", 1.0),
        tuple(row.get("needs", ())),
        tuple(row.get("shapes", ())),
        re.compile(context) if context else None,
        partial(is_valid, row["check"]) if "check" in row else None,
        re.compile(against) if against else None,
    )


def recognize(table: Iterable[Recognizer], read: ReadText) -> Iterator[Detection]:
    for row in table:
        is_possible = not row.needs or any(map(read.low.__contains__, row.needs))
        if not is_possible or (row.shapes and not any(map(read.shape.__contains__, row.shapes))):
            continue
        for found in row.pattern.finditer(read.text):
            begin, end = found.span("value") if "value" in row.pattern.groupindex else found.span()
            if begin < 0 or not _has_evidence(row, read.low, begin, end):
                continue
            if row.validate is None or row.validate(read.text[begin:end]):
                yield Detection(begin, end, row.kind)


def _has_evidence(row: Recognizer, low: str, begin: int, end: int) -> bool:
    score = row.score
    before = max(0, begin - _WINDOW)
    if row.context and score < THRESHOLD:
        score += _CONTEXT_SCORE if row.context.search(low, before, end) else 0
    return score >= THRESHOLD and not (row.against and row.against.search(low, before, begin))


def settled(finds: Iterable[Detection], text: str) -> list[Detection]:
    """Return the finds by place without overlaps: the first stays whole, of later ones the remaining parts."""
    taken = bytearray(len(text))
    kept: list[Detection] = []
    for find in finds:
        begin = find.begin
        while begin < find.end:
            if taken[begin]:
                begin += 1
                continue
            end = taken.find(1, begin, find.end)
            end = find.end if end < 0 else end
            if any(map(str.isalnum, text[begin:end])):
                kept.append(find._replace(begin=begin, end=end))
            begin = end
        taken[find.begin : find.end] = b"\1" * (find.end - find.begin)
    return sorted(kept)


def is_valid(rule: str, number: str) -> bool:
    """Return True if a number passes a rule of this module or of python-stdnum."""
    own = {"kvnr": _is_kvnr, "is_v4": _is_v4, "is_v6": _is_v6}.get(rule)
    return own(number) if own else bool(import_module(f"stdnum.{rule}").is_valid(number))


def _is_kvnr(number: str) -> bool:
    """Return True for a German health insurance number (section 290 SGB V)."""
    digits = f"{ord(number[0]) - 64:02}" + "".join(filter(str.isdigit, number))[:8]
    total = sum(sum(divmod(int(each) * (1 + place % 2), 10)) for place, each in enumerate(digits))
    return total % 10 == int(number[-1])


def _is_v4(written: str) -> bool:
    """Return True for an IPv4 address that is hardly a version of four small numbers."""
    groups = [int(each) for each in written.partition("/")[0].split(".")]
    return max(groups) < 256 and (groups[0] > 9 or max(groups) > 99)


def _is_v6(written: str) -> bool:
    groups = written.partition("/")[0].partition("%")[0]
    count = groups.count(":")
    return (count == 7 or ("::" in groups and 2 <= count < 8)) and ":::" not in groups and any(map(str.isalnum, groups))
