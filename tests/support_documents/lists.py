"""Lists of names in a sentence: `the spans are A, B and C`, `by the tags A or B`. Each must be of that kind.

A name that exists, but is of another kind, is as wrong there as one that does not.
"""

import re
from collections.abc import Callable

from tests.support_documents import sources
from tests.support_documents.documents import Document

_NAMES = r"(`[^`]+`(?:(?:,| or| and) `[^`]+`)*(?:,? (?:or|and) `[^`]+`)?)"
_KINDS: tuple[tuple[re.Pattern[str], Callable[[], frozenset[str]]], ...] = (
    (re.compile(rf"\bspans?(?: of a job)?(?: are| is)? {_NAMES}"), sources.spans),
    (re.compile(rf"\bspan that is red \({_NAMES}"), sources.spans),
    (re.compile(rf"\bthe tags? {_NAMES}"), sources.tags),
)


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
