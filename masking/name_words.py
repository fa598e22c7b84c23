"""What each word of a text may be: a first name, a surname, a word that nobody knows."""

import re
from collections.abc import Sequence

from masking import contexts as known
from masking.lists import first_names, listed, surnames, unsure_names, words
from masking.people import PARTICLES, spelled
from masking.reading import ReadText
from masking.small_names import Word

_JOINED = frozenset({" ", "-", "'", "’", ". ", ".", "  "})
_LOCAL = re.compile(r"[^\W_](?<![\w.'-].)[\w.'-]{0,63}(?=@)")
_LINE_END = re.compile(r"[ \t]*(?:[,!.;:)]|\n|$)")
_GENERIC = listed("name_words generic")


class NameWords:
    """Marks the words of one text that are parts of names."""

    def __init__(self, read: ReadText, found: Sequence[Word]) -> None:
        self._read, self._found = read, found
        self.marks = bytearray(len(found))
        self.reversed: set[int] = set()
        keys = [word.key for word in found]
        self._firsts, self._unsure, self._lasts, self._words = first_names(), unsure_names(), surnames(), words()
        german = sum(map(known.GERMAN.__contains__, keys))
        self._is_german = german > sum(map(known.ENGLISH.__contains__, keys))
        self._is_loud = read.capitals * 2 > len(read.text) - sum(map(len, read.joints))
        self._is_small = read.capitals * 100 < len(read.text)
        self._joints = read.joints
        self._mails = {
            part
            for local in (_LOCAL.findall(read.low) if "@" in read.low else ())
            for part in map(spelled, re.split(r"[\W\d_]+", local))
            if len(part) > 2
        } - _GENERIC

    def _is_first(self, at: int) -> bool:
        word = self._found[at]
        return word.is_capital and word.key in self._firsts and not self._is_code(at)

    def _is_code(self, at: int) -> bool:
        """Return True for letters within something else, and for capitals among small letters."""
        word, text = self._found[at], self._read.text
        before, behind = text[max(0, word.begin - 1) : word.begin], text[word.end : word.end + 1]
        if (
            before.isdigit()
            or behind.isdigit()
            or before in {"_", "\\", "@", "/", "#", "="}
            or behind in {"_", "@", "\\"}
        ):
            return True
        written = text[word.begin : word.end]
        if written.isupper():
            return not self._is_loud and len(written) < 5
        return written[2:] != written[2:].lower() and not written.startswith(
            ("Mc", "Mac", "De", "Le", "La", "Van", "O")
        )

    def _is_unknown(self, at: int) -> bool:
        """Return True for a capitalised word that is in no list of words, and does not look like a noun."""
        word = self._found[at]
        if (
            not word.is_capital
            or len(word.key) < 2
            or word.key in self._words
            or word.key in known.NEVER
            or self._is_code(at)
        ):
            return False
        if word.key in self._lasts or word.key in self._firsts:
            return True
        return not (self._is_german and (word.key.endswith(known.NOUN_ENDS) or len(word.key) > 11))

    def _may_be(self, at: int, *, loose: bool) -> bool:
        """Return True for what may be a name where something tells of one."""
        if not 0 <= at < len(self._found):
            return False
        word = self._found[at]
        if word.owners or self._is_first(at) or self._is_unknown(at):
            return True
        if not word.is_capital or word.key in known.NEVER or (self._is_code(at) and not loose):
            return False
        return word.key in self._unsure or (loose and (word.key in self._lasts or not self._is_noun(at)))

    def _is_noun(self, at: int) -> bool:
        return self._found[at].key in self._words

    def _is_english_surname(self, at: int) -> bool:
        """Return True for a capital in the middle of an English sentence that no other one follows."""
        word = self._found[at]
        if self._is_german or not word.is_capital or word.key in known.NEVER:
            return False
        return self._joints[at] != " " or at + 1 == len(self._found) or not self._found[at + 1].is_capital

    def _take(self, at: int, most: int, *, loose: bool) -> int:
        """Mark a name that begins here, and return the place behind it; the same place where there is none."""
        begin, place = at, at
        keys: list[str] = []
        while place < len(self._found) and place - begin < most:
            key = self._found[place].key
            is_particle = key in PARTICLES and place + 1 < len(self._found) and self._found[place + 1].is_capital
            is_initial = (
                len(key) == 1
                and self._found[place].is_capital
                and self._joints[place][:1] in {".", "", "\n", " ", "'", "’"}
            )
            is_surname = (
                any(each not in PARTICLES for each in keys)
                and self._found[place].is_capital
                and key in self._lasts
                and key not in known.NEVER
            )
            may = (
                self._may_be(place, loose=loose and place == begin)
                or is_particle
                or (is_initial and (place > begin or self._joints[place] in {". ", ".", "'", "’"}))
                or is_surname
                or (place > begin and keys[0] in self._firsts and self._is_english_surname(place))
            )
            if not may or (self._is_code(place) and not loose and not is_initial):
                break
            place += 1
            keys.append(key)
            if self._joints[place - 1] not in _JOINED or (self._joints[place - 1] in {". ", "."} and not is_initial):
                break
        while place > begin and (
            self._found[place - 1].key in PARTICLES or (place - begin == 1 and len(self._found[begin].key) == 1)
        ):
            place -= 1
        self.marks[begin:place] = b"\1" * (place - begin)
        return place

    def _is_cell(self, first: int, last: int) -> bool:
        """Return True where words are all of a line or of a cell."""
        text = self._read.text
        begun = text[max(0, self._found[first].begin - 2) : self._found[first].begin]
        ended = text[self._found[last].end : self._found[last].end + 3].strip(" ")[:1]
        is_begun = (
            not begun.strip(" ")
            or begun.rstrip(" ")[-1:] in {"\n", ";", "|", ":", ",", ">"}
            or begun[-1:] == "-"
            or begun in {". ", ") "}
        )
        return is_begun and (ended in {"", "\n", ";", "|", ",", "<", "(", "-", "–", ":"} or ended.isdigit())

    def _is_line_end(self, at: int) -> bool:
        return bool(_LINE_END.match(self._joints[at]))
