"""A text as the finders of values read it: folded, in small letters, its words, numbers and tables."""

import re
from collections import defaultdict
from collections.abc import Iterator, Set
from itertools import accumulate
from typing import NamedTuple

from masking.people import all_spelled
from masking.tables import Cell, cells_of

_WORD = re.compile(r"([^\W\d_]+)")
# The same for a text that has no other letters than these, which is sooner done.
_LATIN = re.compile(r"([a-zß-öø-ɏ]+)")
_OTHERS = re.compile(r"[^\x00-\x7fß-öø-ɏ„“”‘’»«€§°–—…]")
_DIGIT = re.compile(r"\d")
_DIGITS = re.compile(r"\d+")
_CAPITALS = bytes(range(ord("A"), ord("Z") + 1))
_NUMBER = re.compile(r"\d(?<!\w\d)")
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")


class ReadText(NamedTuple):
    """All of one length, so that a place in one is the same place in the others."""

    text: str
    low: str
    words: list[tuple[str, int, int]]
    """Runs of letters, in small ones, with where they begin and end."""
    places: dict[str, list[int]]
    """Each word with its places among the words: what is asked of a word is asked once."""
    joints: list[str]
    """What stands behind each word, up to the next one."""
    vocabulary: frozenset[str]
    """Each word once."""
    keys: dict[str, str]
    """Each word, and how names are compared with it: as `spelled`."""
    has_digit: bool
    numbers: list[int]
    """Where digits begin that no word ends with."""
    capitals: int
    """How many letters are capitals."""
    cells: list[Cell]
    """Those of tables, but their heads."""

    def of(self, labels: Set[str]) -> list[tuple[str, int, int]]:
        """Return the words that are among some, as they follow each other."""
        told = labels & self.vocabulary
        if not told:
            return []
        places = [place for label in told for place in self.places[label]]
        places.sort()
        return [self.words[place] for place in places]

    def digits(self) -> str:
        """Return its digits alone."""
        return "".join(_DIGITS.findall(self.text))

    def after(self, labels: Set[str], form: re.Pattern[str]) -> Iterator[re.Match[str]]:
        """Find a form where a word stands that may begin it, which is sooner done than to look for it everywhere.

        What one takes up does not begin another.
        """
        at = 0
        for _, begin, _ in self.of(labels):
            if begin >= at and (found := form.match(self.text, begin)):
                at = found.end()
                yield found


def reading(text: str) -> ReadText:
    """Read a folded text."""
    low = text.lower()
    if len(low) != len(text):
        # One letter has two as its small one.
        low = text.replace("İ", "I").lower()
    pieces = (_WORD if _OTHERS.search(low) else _LATIN).split(low)
    ends = list(accumulate(map(len, pieces)))
    words = list(zip(pieces[1::2], ends[::2], ends[1::2], strict=False))
    places: defaultdict[str, list[int]] = defaultdict(list)
    for place, word in enumerate(pieces[1::2]):
        places[word].append(place)
    has_digit = bool(_DIGIT.search(text))
    numbers = [found.start() for found in _NUMBER.finditer(text)] if has_digit else []
    vocabulary = frozenset(places)
    return ReadText(
        text=text,
        low=low,
        words=words,
        places=places,
        joints=pieces[2::2],
        vocabulary=vocabulary,
        keys=all_spelled(vocabulary),
        has_digit=has_digit,
        numbers=numbers,
        capitals=_capitals(text),
        cells=list(cells_of(text)),
    )


def _capitals(text: str) -> int:
    plain = text.encode("ascii", "ignore")
    others = () if text.isascii() else _NOT_ASCII.findall(text)
    return len(plain) - len(plain.translate(None, _CAPITALS)) + sum(map(str.isupper, others))
