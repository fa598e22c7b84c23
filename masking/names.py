"""Names of people in free text: those of a desk for certain, others by lists and by what stands beside them."""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from masking import contexts as known
from masking.desk_names import DeskNames, Word
from masking.found import Located
from masking.name_forms import NamesByForm
from masking.people import PARTICLES
from masking.reading import ReadText

_COMPANIES = frozenset(["gmbh", "ag", "kg", "ltd", "limited", "inc", "llc", "plc", "corp", "ohg", "mbh", "se"])
_MOST_IN_A_NAME = 6
_LIST = re.compile(r"\s?[,;/&|]\s?|\s(?:and|und|or|oder|et|y|&|sowie)\s|,\s(?:and|und)\s")


def persons(read: ReadText, desk: DeskNames) -> Iterator[Located]:
    """Find names; the value of one of a desk's people is what they are called there."""
    found = desk.marked(read)
    told = _Names(read, found)
    told.look()
    yield from _mentions(read, found, told.marks, told.reversed, desk)


class _Names(NamesByForm):
    """Marks all names of one text."""

    def look(self) -> None:
        """Mark all names."""
        for at, word in enumerate(self._found):
            if word.owners:
                self.marks[at] = 1
        for at in range(len(self._found)):
            self._by_context(at)
            if self._found[at].owners:
                self._beside_desk(at)
            elif not self.marks[at]:
                self._by_itself(at)
        self._closings()
        self._lists()
        self._halves()
        self._reverse()
        self._again()

    def _lists(self) -> None:
        """Mark what stands in a list with a name."""
        for at in range(len(self._found) - 1):
            is_listed = self.marks[at] and not self.marks[at + 1] and _LIST.fullmatch(self._joints[at])
            if is_listed and self._is_unknown(at + 1) and self._may_be_listed(at + 1):
                self._take(at + 1, 3, loose=False)
            if self._joints[at] == "/" and self._is_loud_pair(at):
                self.marks[at : at + 2] = b"\1\1"
        for at in range(len(self._found) - 2):
            is_joined = self._found[at + 1].key in known.LISTED and self._joints[at] in {" ", ", "}
            if is_joined and self.marks[at + 2] and not self.marks[at] and not self._is_german and self._is_unknown(at):
                self.marks[at] = 1
            if self.marks[at] and is_joined and self._joints[at + 1] == " " and not self.marks[at + 2]:
                self._listed(at + 2)

    def _listed(self, at: int) -> None:
        is_unsure = self._found[at].key in self._unsure and self._found[at].is_capital
        if (self._is_unknown(at) or is_unsure) and self._may_be_listed(at):
            self._take(at, 3, loose=False)

    def _may_be_listed(self, at: int) -> bool:
        """Return False for a word that nobody knows in German, where each noun has a capital."""
        return not self._is_german or self._found[at].key in self._lasts

    def _reverse(self) -> None:
        """Remember where a comma stands between a surname and a first name."""
        for at in range(1, len(self._found)):
            is_pair = (
                self.marks[at]
                and self.marks[at - 1]
                and self._joints[at - 1] in {", ", ","}
                and self._is_cell(at - 1, at)
            )
            if is_pair and self._found[at].key in self._firsts and self._found[at - 1].key not in self._firsts:
                self.reversed.add(at)

    def _halves(self) -> None:
        """Mark the other half of a name with a hyphen."""
        for at in range(1, len(self._found)):
            is_half = self._is_unknown(at) or (len(self._found[at].key) < 6 and not self._is_noun(at))
            if self.marks[at - 1] and self._joints[at - 1] == "-" and is_half and not self._is_code(at):
                self.marks[at] = 1

    def _is_loud_pair(self, at: int) -> bool:
        one, other = self._found[at], self._found[at + 1]
        written = self._read.text[one.begin : other.end]
        return (
            written.isupper()
            and len(one.key) > 1
            and (
                other.key in self._firsts or (len(other.key) == 1 and one.key in self._lasts and not self._is_noun(at))
            )
        )

    def _again(self) -> None:
        """Mark a name where it stands alone, if it was told elsewhere in the text."""
        names = {
            word.key
            for word, mark in zip(self._found, self.marks, strict=True)
            if mark and len(word.key) > 2 and word.key not in PARTICLES
        }
        for at, word in enumerate(self._found):
            if self.marks[at] or not (word.is_capital or self._is_small):
                continue
            key = word.key if word.key in names else word.key.removesuffix("s")
            if (
                key in names
                and key not in known.NEVER
                and not self._is_code(at)
                and (key not in self._words or self._is_told(at))
            ):
                self.marks[at] = 1


def _mentions(
    read: ReadText, found: Sequence[Word], marks: bytearray, reversed_at: set[int], desk: DeskNames
) -> Iterator[Located]:
    """Join words that are marked beside each other into one name."""
    at = 0
    while at < len(found):
        if not marks[at]:
            at += 1
            continue
        end = at + 1
        while end < len(found) and (over := _joined(read, found, marks, (at, end), reversed_at)):
            end = over
        if end < len(found) and found[end].key in _COMPANIES and not any(word.owners for word in found[at:end]):
            at = end
            continue
        ended = found[end - 1].end
        ended += len(found[end - 1].key) == 1 and read.text[ended : ended + 1] == "."
        yield _mention(found[at:end], desk)._replace(end=ended)
        at = end


def _joined(
    read: ReadText, found: Sequence[Word], marks: bytearray, span: tuple[int, int], reversed_at: set[int]
) -> int:
    """Return the place behind the next part of a name, over particles; 0 where the name has ended."""
    begin, end = span
    if marks[end]:
        joint, before = read.text[found[end - 1].end : found[end].begin], found[end - 1]
        is_same = bool(before.owners & found[end].owners) and before.key != found[end].key
        if joint in {", ", ",", "_", "/"}:
            is_loud = joint == "/" and read.text[before.begin : found[end].end].isupper()
            joints = [read.text[one.end : other.begin] for one, other in pairwise(found[max(begin, end - 6) : end])]
            is_one = end - begin < _MOST_IN_A_NAME and " " not in joints
            return end + 1 if (is_same and is_one) or is_loud or end in reversed_at else 0
        is_initial = len(before.key) == 1 or len(found[end].key) == 1
        is_joined = joint in {" ", "-", "'", "’", "  "} or (joint in {". ", ".", ".-"} and (is_initial or is_same))
        return end + 1 if is_joined else 0
    place = end
    while (
        place < len(found)
        and found[place].key in PARTICLES
        and read.text[found[place - 1].end : found[place].begin] == " "
    ):
        place += 1
    if not end < place < len(found) or not marks[place] or not found[place].is_capital:
        return 0
    return place + 1 if read.text[found[place - 1].end : found[place].begin] in {" ", "-"} else 0


def _mention(parts: Sequence[Word], desk: DeskNames) -> Located:
    owners = [part.owners for part in parts if part.key not in PARTICLES]
    shared = frozenset.intersection(*owners) if owners else frozenset()
    value = desk.names[next(iter(shared))] if len(shared) == 1 else None
    return Located(parts[0].begin, parts[-1].end, "PERSON", value)
