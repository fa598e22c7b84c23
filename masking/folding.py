"""A text as it is compared: without what nobody sees, and with each letter in its usual form; and the way back."""

import re
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

# Controls, blanks without width, marks of direction, and other characters that show nothing.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ud800-\udfff]"
)
_DASHES = dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-") | {"\u3002": ".", "\uff61": "."}
# All but those that stay as they are.
_CHANGING = re.compile(r"[^\n\t\x20-\x7eÀ-ÖØ-öø-ıĴ-ľŁ-ňŊ-ž„“”‘’»«€§°]")
# Some characters become a whole phrase.
_MOST = 4


class Folded(NamedTuple):
    """The text that is looked at, and where each of its characters comes from."""

    text: str
    places: Sequence[int]
    whole: str

    def original(self, begin: int, end: int) -> str:
        """Return what stood there, as it was written."""
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
                _replace_last(pieces, joined)
        pieces.append(usual)
        places += [place] * len(usual)
    return Folded("".join([*pieces, text[at:]]), [*places, *range(at, len(text) + 1)], text)


def _usual(character: str) -> str:
    if _UNSEEN.match(character):
        return ""
    usual = _DASHES.get(character) or unicodedata.normalize("NFKC", character)
    return usual if (len(usual) <= _MOST and not usual.startswith(" ")) or usual == " " else character


def _replace_last(pieces: list[str], letter: str) -> None:
    """Put a letter in the place of the last one."""
    while not pieces[-1]:
        pieces.pop()
    pieces[-1] = pieces[-1][:-1] + letter
