"""Names of people in free text: those of a desk for certain, others by lists and by what stands beside them."""

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import pairwise
from operator import attrgetter

from masking import contexts as known
from masking.desk_names import DeskNames
from masking.found import Located
from masking.lists import first_names, unsure_names, words
from masking.name_contexts import TELLING
from masking.name_forms import NamesByForm
from masking.people import PARTICLES
from masking.reading import ReadText
from masking.small_names import Word

_COMPANIES = frozenset(["gmbh", "ag", "kg", "ltd", "limited", "inc", "llc", "plc", "corp", "ohg", "mbh", "se"])
_MOST_IN_A_NAME = 6
_OF_NAMES = re.compile(
    r"(?:(?:full |first |last |sur|nach|vor|vor- und nach)?names?|(?:employee|guest|patient|gast)(?: name)?)"
)
_CELL = re.compile(r"[^\W\d_][\w.'’-]{1,30}(?:,? [^\W\d_][\w.'’-]{0,30}){0,4}")
_begin = attrgetter("begin")
_LIST = re.compile(r"\s?[,;/&|]\s?|\s(?:and|und|or|oder|et|y|&|sowie)\s|,\s(?:and|und)\s")


@cache
def _looked_at() -> frozenset[str]:
    """Return what is looked at in small letters as well: what tells of a name, and names that are no words."""
    return TELLING | (first_names() - words())


@cache
def _dull() -> frozenset[str]:
    """Return words that are no names even with a capital, if nothing before them tells of one."""
    return frozenset(key for key in words() if len(key) > 1) - first_names() - unsure_names() - TELLING


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
        told, dull = _looked_at(), _dull()
        places = [
            at
            for at, (_, _, key, owners, is_capital) in enumerate(self._found)
            if (is_capital and key not in dull) or owners or key in told
        ]
        for at in places:
            if self._found[at].owners:
                self.marks[at] = 1
        for at in places:
            word = self._found[at]
            if word.key in TELLING:
                self._by_context(at)
            if word.owners:
                self._beside_desk(at)
            elif not self.marks[at] and word.is_capital:
                self._by_itself(at)
            elif not self.marks[at] and word.key in self._firsts and word.key not in self._words:
                self._small(at)
        self._columns()
        self._closings()
        if any(self.marks) or "/" in self._joints:
            self._lists()
            self._halves()
            self._reverse()
            self._again()

    def _columns(self) -> None:
        """Mark what stands in a column of names."""
        for cell in self._read.cells:
            if not _OF_NAMES.fullmatch(cell.head) or not _CELL.fullmatch(self._read.text, cell.begin, cell.end):
                continue
            first = bisect_left(self._found, cell.begin, key=_begin)
            last = bisect_left(self._found, cell.end, key=_begin)
            if all(word.is_capital or word.key in PARTICLES for word in self._found[first:last]):
                self.marks[first:last] = b"\1" * (last - first)

    def _marked(self) -> Iterator[int]:
        """Return the places that are marked, those too that are while one goes over them."""
        at = self.marks.find(1)
        while at >= 0:
            yield at
            at = self.marks.find(1, at + 1)

    def _lists(self) -> None:
        """Mark what stands in a list with a name."""
        last = len(self._found) - 1
        slashed = [at for at, joint in enumerate(self._joints[:last]) if joint == "/"]
        for at in slashed:
            if self._is_loud_pair(at):
                self.marks[at : at + 2] = b"\1\1"
        for at in self._marked():
            is_listed = at < last and not self.marks[at + 1] and _LIST.fullmatch(self._joints[at])
            if is_listed and self._is_unknown(at + 1) and self._may_be_listed(at + 1):
                self._take(at + 1, 3, loose=False)
        listed = known.LISTED & self._read.vocabulary
        for at in sorted(place - 1 for word in listed for place in self._read.places[word] if 0 < place < last):
            is_joined = self._joints[at] in {" ", ", "}
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
        for at in self._marked():
            is_pair = at and self.marks[at - 1] and self._joints[at - 1] in {", ", ","} and self._is_cell(at - 1, at)
            if is_pair and self._found[at].key in self._firsts and self._found[at - 1].key not in self._firsts:
                self.reversed.add(at)

    def _halves(self) -> None:
        """Mark the other half of a name with a hyphen."""
        for at in (before + 1 for before in self._marked()):
            if at == len(self._found) or self._joints[at - 1] != "-":
                continue
            is_half = self._is_unknown(at) or (len(self._found[at].key) < 6 and not self._is_noun(at))
            if is_half and not self._is_code(at):
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
            self._found[at].key
            for at in self._marked()
            if len(self._found[at].key) > 2 and self._found[at].key not in PARTICLES
        }
        either = names | {f"{name}s" for name in names}
        for at, word in enumerate(self._found):
            if word.key not in either or self.marks[at] or not (word.is_capital or self._is_small):
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
