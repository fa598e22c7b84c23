"""A text as the finders of values read it: folded, in small letters, and its words with their places."""

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

_WORD = re.compile(r"[^\W\d_]+")


class ReadText(NamedTuple):
    """All of one length, so that a place in one is the same place in the others."""

    text: str
    low: str
    words: list[tuple[str, int, int]]
    """Runs of letters, in small ones, with where they begin and end."""

    def after(self, is_label: Callable[[str], bool], form: re.Pattern[str]) -> Iterator[re.Match[str]]:
        """Find a form where a word stands that may begin it, which is sooner done than to look for it everywhere.

        What one takes up does not begin another.
        """
        at = 0
        for word, begin, _ in self.words:
            if begin >= at and is_label(word) and (found := form.match(self.text, begin)):
                at = found.end()
                yield found


def reading(text: str) -> ReadText:
    """Read a folded text."""
    low = text.lower()
    if len(low) != len(text):
        # One letter has two as its small one.
        low = text.replace("İ", "I").lower()
    return ReadText(text, low, [(found[0], found.start(), found.end()) for found in _WORD.finditer(low)])
