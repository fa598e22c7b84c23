"""Text prepared for recognizers: folded, lower case, words with keys, cells."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

from privacy.redaction.people import spelled

# Controls, blanks without width, marks of direction, and other characters that show nothing.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ud800-\udfff]"
)
_DASHES = dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-") | {"\u3002": ".", "\uff61": "."}
_CHANGING = re.compile(r"[^\n\t\x20-\x7eÀ-ÖØ-öø-ıĴ-ľŁ-ňŊ-ž„“”‘’»«€§°]")
_MAX_FOLD = 4
_WORD = re.compile(r"([^\W\d_]+)")
_SHAPE = bytes(97 if chr(each).isalpha() else 48 if chr(each).isdigit() else each for each in range(128)) + bytes(128)
_MAX_CELLS, _MAX_ROWS, _MAX_HEAD_LENGTH = 20, 500, 30
_BLANKS, _NO_HEAD = re.compile(r" {2,60}"), re.compile(r"\d{3}|@")


class Folded(NamedTuple):
    """The folded text, and the place of each of its characters in the original."""

    text: str
    places: Sequence[int]
    whole: str

    def original(self, begin: int, end: int) -> str:
        return self.whole[self.places[begin] : self.places[end]]


def folded(text: str) -> Folded:
    """Return the text so that two ways of writing the same are the same."""
    if text.isascii() and not _UNSEEN.search(text):
        return Folded(text, range(len(text) + 1), text)
    pieces: list[str] = []
    places: list[int] = []
    at = 0
    for found in _CHANGING.finditer(text):
        place = found.start()
        pieces.append(text[at:place])
        places += range(at, place)
        at = place + 1
        usual = _usual(found[0])
        if unicodedata.combining(found[0]) and (before := "".join(pieces[-2:])[-1:]):
            # An accent by itself: one letter with the one before it.
            joined = unicodedata.normalize("NFC", before + found[0])
            usual = ""
            if len(joined) == 1:
                while not pieces[-1]:
                    pieces.pop()
                pieces[-1] = pieces[-1][:-1] + joined
        pieces.append(usual)
        places += [place] * len(usual)
    return Folded("".join([*pieces, text[at:]]), [*places, *range(at, len(text) + 1)], text)


def _usual(character: str) -> str:
    if _UNSEEN.match(character):
        return ""
    usual = _DASHES.get(character) or unicodedata.normalize("NFKC", character)
    return usual if (len(usual) <= _MAX_FOLD and not usual.startswith(" ")) or usual == " " else character


class Cell(NamedTuple):
    """A table cell, with its column's head in lower case, and the row's number."""

    head: str
    begin: int
    end: int
    row: int


class ReadText(NamedTuple):
    """A folded text and its parts; `low` is as long, `joints[n]` is behind word n."""

    text: str
    low: str
    shape: str  # with "a" for each letter, "0" for each digit
    words: list[tuple[str, int, int]]
    joints: list[str]
    keys: list[str]  # the words as names are compared, see `spelled`
    cells: list[Cell]
    begins: list[int]  # where each word begins
    places: dict[str, list[int]]  # the indexes of each word

    def starts(self, words: Iterable[str]) -> list[int]:
        known = words.intersection(self.places) if isinstance(words, frozenset) else words
        return sorted([self.begins[at] for word in known for at in self.places[word]])

    def column(self, head: re.Pattern[str]) -> Iterator[Cell]:
        heads = {each for each in {cell.head for cell in self.cells} if head.fullmatch(each)}
        return (cell for cell in self.cells if cell.head in heads)

    def after(self, words: Iterable[str], form: re.Pattern[str]) -> Iterator[re.Match[str]]:
        """Find a form at each such word; a match begins behind the one before."""
        at = 0
        for begin in self.starts(words):
            if begin >= at and (found := form.match(self.text, begin)):
                at = found.end()
                yield found


def reading(text: str) -> ReadText:
    low = text.lower()
    if len(low) != len(text):
        # The small form of one letter has two characters.
        low = text.replace("İ", "I").lower()
    pieces = _WORD.split(low)
    ends = list(accumulate(map(len, pieces)))
    found = list(zip(pieces[1::2], ends[::2], ends[1::2], strict=False))
    places: defaultdict[str, list[int]] = defaultdict(list)
    for at, word in enumerate(pieces[1::2]):
        places[word].append(at)
    of_words = {word: spelled(word) for word in places}
    keys = [of_words[word] for word in pieces[1::2]]
    shape = text.encode("ascii", "replace").translate(_SHAPE).decode("ascii")
    return ReadText(text, low, shape, found, pieces[2::2], keys, list(_cells(text)), ends[:-1:2], places)


def _cells(text: str) -> Iterator[Cell]:
    """Find table cells: a line of words in cells, and lines after it with as many."""
    if "\n" not in text:
        return
    lines, at, marks = [], 0, [mark for mark in ("|", ";", "\t", " / ", ",") if mark in text]
    for line in text.split("\n"):
        lines.append((at, line))
        at += len(line) + 1
    place = 0
    while place < len(lines):
        mark = _mark(lines[place][1], marks)
        heads = [each.strip().lower() for each in _split(lines[place][1], mark)] if mark else []
        least = 2 if mark and mark in "|;\t" else 3
        is_head = least <= len([head for head in heads if head]) and len(heads) <= _MAX_CELLS
        place += 1
        if not is_head or any(len(head) > _MAX_HEAD_LENGTH or _NO_HEAD.search(head) for head in heads):
            continue
        for row, (at, line) in enumerate(lines[place : place + _MAX_ROWS]):
            values = _split(line, mark)
            is_rule = mark == "|" and not set(line) - set("|-: +")
            if len(values) != len(heads) and not is_rule:
                break
            place += 1
            end = 0
            for head, value in zip(heads, () if is_rule else values, strict=not is_rule):
                begin = line.find(value, end)
                end = begin + len(value)
                if stripped := value.strip():
                    begun = at + begin + value.find(stripped)
                    yield Cell(head, begun, begun + len(stripped), row)


def _mark(line: str, marks: Iterable[str]) -> str:
    mark = next((mark for mark in marks if line.count(mark) > (mark == ",")), "")
    return mark or ("  " if line.count("  ") > 1 else "")


def _split(line: str, mark: str) -> list[str]:
    return _BLANKS.split(line.strip(" ")) if mark == "  " else line.split(mark)
