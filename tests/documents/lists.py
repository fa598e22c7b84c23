"""Lists of names: `the spans are A, B and C`, `by the tags A or B`, tables of log lines. Each must be of that kind.

A name that exists, but is of another kind, is as wrong there as one that does not.
"""

import re
from collections.abc import Callable

from tests.documents import log_lines, sources
from tests.documents.documents import Document

_NAMES = r"(`[^`]+`(?:(?:,| or| and) `[^`]+`)*(?:,? (?:or|and) `[^`]+`)?)"
_KINDS: tuple[tuple[re.Pattern[str], Callable[[], frozenset[str]]], ...] = (
    (re.compile(rf"\bspans?(?: of a job)?(?: are| is)? {_NAMES}"), sources.spans),
    (re.compile(rf"\bspan that is red \({_NAMES}"), sources.spans),
    (re.compile(rf"\bthe tags? {_NAMES}"), sources.tags),
)

# Tables whose first column has log lines.
_LINES = re.compile(r"^\| (?:last good )?line \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", re.MULTILINE)


def unknown_lines(document: Document) -> list[str]:
    """Each line that a table of log lines has and that nothing prints."""
    cells = [row.split(" | ")[0] for table in _LINES.findall(document.prose) for row in table.splitlines()]
    told = [line for cell in cells for line in re.findall(r"`([^`]+)`", cell)]
    return [line for line in told if not _is_line_or_reason(line)]


def _is_line_or_reason(text: str) -> bool:
    return log_lines.is_phrase(text) or log_lines.is_phrase_part(text) or log_lines.is_phrase_part(f"reason={text}")


def unknown_in_lists(document: Document) -> list[str]:
    """`line: name` of each name in a list that has no such name."""
    return [
        f"{number}: {name}"
        for number, line in enumerate(document.prose.splitlines(), 1)
        for pattern, known in _KINDS
        for listed in pattern.finditer(line)
        for name in re.findall(r"`([^`]+)`", listed[1])
        if name not in known()
    ]
