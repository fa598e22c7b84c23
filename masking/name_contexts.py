"""Names by what stands around them: titles, labels, greetings, closings."""

import re
from collections.abc import Sequence
from itertools import pairwise

from masking import contexts as known
from masking.name_words import NameWords
from masking.people import PARTICLES

_LIST = re.compile(r"\s?[,;/&|]\s?|\s(?:and|und|or|oder|et|y|&|sowie)\s|,\s(?:and|und)\s")
_WORD = r"[^\W\d_][\w.'’-]{0,60}+"
_SHORT = re.compile(rf"{_WORD}(?:[ ,]{{1,2}}{_WORD}){{0,3}}[ ,]{{0,2}}(?:\n|$|[;|(<])")
_MOST_TITLES = 6
_MOST_OF_A_SIGNATURE = 4
_DEGREES = frozenset(["med", "ing", "dipl", "phil", "rer", "nat", "jur", "pol", "oec"])

# All words that tell of a name behind them.
TELLING = known.TITLES | known.SHORT_TITLES | known.ROLES | known.LABELS | known.GREETINGS | {"name", "names"}


class NamesInContext(NameWords):
    """Marks names where something tells that there is one."""

    def _by_context(self, at: int) -> None:
        word, joint = self._found[at], self._joints[at]
        key, behind = word.key, at + 1
        if behind >= len(self._found):
            return
        if (key in known.TITLES and joint in {" ", ". ", "."}) or (
            key in known.SHORT_TITLES and joint in {". ", "."} and word.is_capital
        ):
            self._behind_title(behind)
        elif key in known.ROLES and joint in {" ", ": ", " - ", " ("}:
            self._take(behind, 3, loose=False)
        if (key in known.LABELS and joint.strip(" \t") == ":") or (
            key in known.LABELS and joint.strip(" ") in {"=", "|"}
        ):
            self._behind_label(behind)
        if key in {"name", "names"} and joint == " " and self._is_line_begin(at) and self._is_short_value(behind):
            self._behind_label(behind)
        if key in known.GREETINGS and joint in {" ", ", "} and self._is_line_begin(at):
            self._greeted(behind)

    def _behind_title(self, at: int) -> None:
        for _ in range(_MOST_TITLES):
            is_title = self._found[at].key in known.TITLES or self._found[at].key in _DEGREES
            if at + 1 < len(self._found) and is_title and self._joints[at] in {" ", ". ", ".", "-"}:
                at += 1
            elif at + 2 < len(self._found) and self._found[at + 1].key in known.TITLES and self._joints[at] == " ":
                # What somebody is, between two titles.
                at += 1
            else:
                break
        word = self._found[at]
        if self._take(at, 4, loose=True) > at:
            return
        if word.is_capital and word.key not in known.NEVER:
            self.marks[at] = 1
        elif not word.is_capital and len(word.key) > 2 and not self._is_of_a_sentence(word.key):
            # Without capitals: what is no word of a sentence.
            self.marks[at] = 1

    def _behind_label(self, at: int) -> None:
        end = self._take(at, 4, loose=self._is_short_value(at))
        while end > at and end < len(self._found) and _LIST.fullmatch(self._joints[end - 1]):
            at, end = end, self._take(end, 4, loose=False)

    def _is_short_value(self, at: int) -> bool:
        """Return True where at most four words with nothing else follow to the end of a line or a cell."""
        line = self._read.text[self._found[at].begin :][:60]
        return bool(_SHORT.match(line)) and not any(
            self._found[place].key in known.NEVER for place in range(at, min(at + 2, len(self._found)))
        )

    def _greeted(self, at: int) -> None:
        for _ in range(_MOST_TITLES):
            if at < len(self._found) and self._found[at].key in known.GREETINGS | known.TITLES:
                at += 1
        if at >= len(self._found):
            return
        is_ended = bool(re.match(r"[ \t]*(?:[,!]|\n|$)", self._joints[at]))
        word = self._found[at]
        if (
            (
                self._take(at, 3, loose=is_ended and word.key in self._lasts) == at
                and not word.is_capital
                and not self._is_noun(at)
            )
            and word.key in self._firsts
            and (is_ended or self._is_small)
        ):
            self.marks[at] = 1

    def _is_line_begin(self, at: int) -> bool:
        before = self._read.text[max(0, self._found[at].begin - 40) : self._found[at].begin].rpartition("\n")[2]
        return len(before) < 40 and before.count(" ") < 3

    def _closings(self) -> None:
        """Mark who signs: behind a closing, on a short line by itself at the end, and behind a dash."""
        self._last()
        begun = [0, *(at + 1 for at, joint in enumerate(self._joints) if "\n" in joint)]
        is_signed = 0
        for first, end in pairwise([*(at for at in begun if at < len(self._found)), len(self._found)]):
            if self._found[first].key in known.CLOSINGS:
                is_signed = 3
                rest = next((at for at in range(first, end) if self._found[at].key not in known.CLOSINGS), end)
                if rest < end <= rest + _MOST_OF_A_SIGNATURE:
                    self._sign(range(rest, end))
            elif is_signed and end <= first + _MOST_OF_A_SIGNATURE:
                self._sign(range(first, end))
                is_signed -= 1
            else:
                is_signed = 0

    def _sign(self, inside: Sequence[int]) -> None:
        text = self._read.text
        begin = text.rfind("\n", 0, self._found[inside[0]].begin) + 1
        end = text.find("\n", begin)
        line = text[begin : end if end >= 0 else len(text)]
        if any(each.isdigit() for each in line) or "@" in line:
            return
        first = inside[0]
        is_name = self._found[first].key in self._lasts or self._found[first].key in self._unsure
        if self._may_be(first, loose=len(inside) < 3 and is_name) or len(self._found[first].key) == 1:
            self._take(first, 4, loose=len(inside) < 3 and is_name)

    def _last(self) -> None:
        """Mark a name that is all of the last sentence."""
        text = self._read.text.rstrip(" .!\n")
        begin = max(text.rfind(mark) for mark in (". ", "! ", "? ", "\n", " - ", "– ", " -"))
        places = [
            place
            for place in range(len(self._found) - 4, len(self._found))
            if place >= 0 and self._found[place].begin > begin
        ]
        if not 0 < len(places) < 4 or len(text) - begin > 39 or self._found[places[0]].begin - begin > 3:
            return
        if all(self._may_be(place, loose=False) and not self._is_noun(place) for place in places):
            self._take(places[0], 3, loose=False)

    def _is_of_a_sentence(self, key: str) -> bool:
        if key in self._lasts and key not in known.AFTER | known.BEFORE | known.GERMAN | known.NEVER:
            return False
        return key in self._words or key in known.GERMAN or key in PARTICLES
