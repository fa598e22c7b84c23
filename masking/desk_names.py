"""The people that a desk names, found in every spelling."""

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat
from operator import attrgetter, ne

from masking.contexts import NICKNAMES, TITLES
from masking.found import Located
from masking.lists import first_names, unsure_names, words
from masking.people import PARTICLES, Person, logins_of, particles_of, parts_of
from masking.reading import ReadText
from masking.signatures import first_letters, signed
from masking.small_names import Word, is_named, words_of

_JOINTS = frozenset({" ", "-", ", ", ",", ". ", ".", "_", "'", "’", " - ", "  ", ".-"})
_TOKEN = re.compile(r"[^\W_]+(?:[._+-][^\W_]+)*")
_PART = re.compile(r"[^\W_]+")
_DIGITS = re.compile(r"\d{0,4}")
_NUMBER = re.compile(r"[+(\d](?<![\w.+].)(?:[ ]?[./()-]{0,2}[ ]?\d){4,16}(?!\w)")
_SHORTEST_NICKNAME = _SHORTEST = 3
_NOBODY: frozenset[int] = frozenset()


class DeskNames:
    """Knows the parts of names, the login names, addresses and numbers of a desk's people."""

    def __init__(self, people: Iterable[Person]) -> None:
        self.names: list[str] = []
        self.parts: list[list[str]] = []
        self.keys: list[str] = []
        self._owners: dict[str, set[int]] = {}
        self._particles: list[frozenset[str]] = []
        self._logins: set[str] = set()
        self._values: dict[str, str] = {}
        self._numbers: set[str] = set()
        self._unspaced: set[str] = set()
        self._begins: dict[str, set[int]] = {}
        for person in people:
            self._add(person)
        self._letters = first_letters(self.parts)
        # Each word that may be a part of a name: the names, with an s behind them, and shorter forms that are names.
        self._known = {key: frozenset(owners) for key, owners in self._begins.items() if _is_first(key)}
        whole = {key: frozenset(owners) for key, owners in self._owners.items()}
        for end in ("es", "s"):
            self._known.update((key + end, those) for key, those in whole.items() if len(key + end) > _SHORTEST)
        self._known.update((key, those) for key, those in whole.items() if len(key) > 1)

    def _add(self, person: Person) -> None:
        parts = parts_of(person.name)
        if parts and parts not in self.parts:
            for part in parts:
                self._owners.setdefault(part, set()).add(len(self.names))
            for part in parts:
                for length in range(_SHORTEST_NICKNAME, len(part) - 1):
                    self._begins.setdefault(part[:length], set()).add(len(self.names))
            for short in (short for part in parts for short in NICKNAMES.get(part, ())):
                self._owners.setdefault(short, set()).add(len(self.names))
            self.names.append(person.name.strip())
            self.keys.append(" ".join(sorted(set(parts))))
            self.parts.append(parts)
            self._particles.append(particles_of(person.name))
            self._logins.update(logins_of(person.name, parts))
        if not person.name.isascii() and len(name := "".join(filter(_has_no_capital, person.name))) > 1:
            # Of a script that has neither capitals nor blanks between words: all of it stands within others.
            self._unspaced.add(name)
        for address in person.addresses:
            if "@" in address:
                self._values[address.lower()] = "EMAIL"
        for other in filter(None, (each.strip().lower() for each in person.others)):
            self._values[other] = "ID" if sum(map(str.isdigit, other)) * 2 >= len(other) else "LOGIN"
        self._numbers.update(filter(None, (re.sub(r"\D", "", number)[-7:] for number in person.numbers)))

    def values(self, read: ReadText) -> Iterator[Located]:
        """Find login names, ids and addresses as the desk has them, and login names that follow from names."""
        yield from (
            Located(at, at + len(name), "PERSON", name) for name in self._unspaced for at in _places(name, read.text)
        )
        for _, begin, end in self._login_names(read):
            digits = _DIGITS.match(read.text, end)
            yield Located(begin, digits.end() if digits else end, "LOGIN")
        if any(value in read.low for value in self._values):
            for found in _TOKEN.finditer(read.low):
                if kind := self._values.get(found[0]):
                    yield Located(*found.span(), kind)
                elif not found[0].isalnum():
                    for part in _PART.finditer(read.low, *found.span()):
                        if kind := self._values.get(part[0]):
                            yield Located(*part.span(), kind)
        digits_alone = read.digits() if self._numbers and read.has_digit else ""
        if digits_alone and any(number in digits_alone for number in self._numbers):
            for found in _NUMBER.finditer(read.text):
                if re.sub(r"\D", "", found[0])[-7:] in self._numbers:
                    yield Located(*found.span(), "PHONE")

    def _login_names(self, read: ReadText) -> list[tuple[str, int, int]]:
        if self._logins.isdisjoint(read.keys.values()):
            return []
        return read.of({low for low, key in read.keys.items() if len(low) > 3 and key in self._logins})

    def marked(self, read: ReadText) -> list[Word]:
        """Return the words of a text, with the owners of those that are a part of a name for certain."""
        is_small = read.capitals * 50 < len(read.text)
        text, low, keys, known = read.text, read.low, read.keys, self._known
        owners_of = {word: those for word, key in keys.items() if (those := known.get(key))} if known else {}
        lows, begins, ends = zip(*read.words, strict=True) if read.words else ((), (), ())
        are_capital = map(ne, map(text.__getitem__, begins), map(low.__getitem__, begins))
        owners = map(owners_of.get, lows, repeat(_NOBODY))
        found = words_of(begins, ends, map(keys.__getitem__, lows), owners, are_capital)
        kept = list(found)
        owned = sorted(place for word in owners_of for place in read.places[word])
        for place in owned:
            word = found[place]
            if not word.is_capital and self._is_common(word.key):
                beside = self._beside(read, found, place)
                if not beside and not is_named(read, found, place, is_small=is_small):
                    kept[place] = word._replace(owners=frozenset())
        self._initials(read, kept, owned)
        for begin, end, those in signed(read, self.parts, self._letters):
            for place in range(bisect_left(found, begin, key=_begin), bisect_left(found, end, key=_begin)):
                if not kept[place].owners:
                    kept[place] = kept[place]._replace(owners=those)
        return kept

    @staticmethod
    def _is_common(key: str) -> bool:
        """Return True for a name that is a word too, so that small letters make it one."""
        return len(key) < 3 or key in words() or key.removesuffix("s") in words()

    def _beside(self, read: ReadText, found: Sequence[Word], place: int) -> bool:
        """Return True where another part of the same name stands beside a word."""
        for one, other in ((place - 1, place), (place, place + 1)):
            if one >= 0 and other < len(found) and read.text[found[one].end : found[other].begin] in _JOINTS:
                word = found[one if other == place else other]
                if word.owners & found[place].owners and word.key != found[place].key:
                    return True
                if len(word.key) == 1 and any(
                    part[0] == word.key for owner in found[place].owners for part in self.parts[owner]
                ):
                    return True
        return False

    def _initials(self, read: ReadText, kept: list[Word], owned: Sequence[int]) -> None:
        """Give their owners to initials and particles beside a part of a name."""
        for place in owned:
            word = kept[place]
            if not word.owners or len(word.key) < 2:
                continue
            for step in (-1, 1):
                at = place + step
                while 0 <= at < len(kept) and self._belongs(read, kept, at, at - step, word.owners, is_before=step < 0):
                    kept[at] = kept[at]._replace(owners=word.owners)
                    at += step

    def _belongs(
        self, read: ReadText, kept: Sequence[Word], at: int, beside: int, owners: frozenset[int], *, is_before: bool
    ) -> bool:
        word, (left, right) = kept[at], sorted((at, beside))
        joint = read.text[kept[left].end : kept[right].begin]
        if joint not in _JOINTS or word.owners:
            return False
        if is_before and word.key in PARTICLES:
            return any(word.key in self._particles[owner] for owner in owners)
        if word.key in TITLES:
            return False
        behind = read.text[word.end : word.end + 1]
        is_ended = behind in {".", "", "\n", ",", ":", ")", " ", "-", "'", "’"}
        initials = {part[0] for owner in owners for part in [*self.parts[owner], *self._particles[owner]]}
        if len(word.key) == 1:
            is_sure = word.is_capital or joint in {".", "_", "'", "’"} or behind == "."
            return word.key in initials and is_ended and (is_sure or (not is_before and behind in {"", "\n"}))
        return (
            len(word.key) == 2
            and is_before
            and read.text[word.begin : word.end].isupper()
            and set(word.key) <= initials
        )


_begin = attrgetter("begin")


def _is_first(key: str) -> bool:
    return key in first_names() or key in unsure_names()


def _has_no_capital(letter: str) -> bool:
    return letter.isalpha() and letter.lower() == letter.upper() and not letter.isascii()


def _places(name: str, text: str) -> Iterator[int]:
    at = text.find(name)
    while at >= 0:
        yield at
        at = text.find(name, at + len(name))
