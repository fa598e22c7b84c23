"""The people that a desk names, found in every spelling."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from masking.contexts import CLOSINGS, GREETINGS, LABELS, NICKNAMES, TITLES
from masking.found import Located
from masking.lists import first_names, unsure_names, words
from masking.people import PARTICLES, Person, logins_of, particles_of, parts_of, spelled
from masking.reading import ReadText

_JOINTS = frozenset({" ", "-", ", ", ",", ". ", ".", "_", "'", "’", " - ", "  ", ".-"})
_TOKEN = re.compile(r"[^\W_]+(?:[._+-][^\W_]+)*")
_PART = re.compile(r"[^\W_]+")
_DIGITS = re.compile(r"\d{0,4}")
_NUMBER = re.compile(r"[+(\d](?<![\w.+].)(?:[ ]?[./()-]{0,2}[ ]?\d){4,16}(?!\w)")
_SHORTEST_NICKNAME = 3


class Word(NamedTuple):
    """A word of a text, and of which of the desk's people it may be a part of the name."""

    begin: int
    end: int
    key: str
    """As `spelled`."""
    is_capital: bool
    owners: frozenset[int] = frozenset()


class DeskNames:
    """Knows the parts of names, the login names, addresses and numbers of a desk's people."""

    def __init__(self, people: Iterable[Person]) -> None:
        self.names: list[str] = []
        self.parts: list[list[str]] = []
        self._owners: dict[str, set[int]] = {}
        self._particles: list[frozenset[str]] = []
        self._logins: set[str] = set()
        self._values: dict[str, str] = {}
        self._numbers: set[str] = set()
        self._unspaced: set[str] = set()
        for person in people:
            self._add(person)

    def _add(self, person: Person) -> None:
        parts = parts_of(person.name)
        if parts and parts not in self.parts:
            for part in parts:
                self._owners.setdefault(part, set()).add(len(self.names))
            for short in (short for part in parts for short in NICKNAMES.get(part, ())):
                self._owners.setdefault(short, set()).add(len(self.names))
            self.names.append(person.name.strip())
            self.parts.append(parts)
            self._particles.append(particles_of(person.name))
            self._logins.update(logins_of(person.name))
        if len(name := "".join(filter(_has_no_capital, person.name))) > 1:
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
        if self._logins:
            for low, begin, end in read.words:
                if len(low) > 3 and spelled(low) in self._logins:
                    digits = _DIGITS.match(read.text, end)
                    yield Located(begin, digits.end() if digits else end, "LOGIN")
        if self._values:
            for found in _TOKEN.finditer(read.low):
                if kind := self._values.get(found[0]):
                    yield Located(*found.span(), kind)
                elif not found[0].isalnum():
                    for part in _PART.finditer(read.low, *found.span()):
                        if kind := self._values.get(part[0]):
                            yield Located(*part.span(), kind)
        if self._numbers:
            for found in _NUMBER.finditer(read.text):
                if re.sub(r"\D", "", found[0])[-7:] in self._numbers:
                    yield Located(*found.span(), "PHONE")

    def marked(self, read: ReadText) -> list[Word]:
        """Return the words of a text, with the owners of those that are a part of a name for certain."""
        is_small = sum(map(str.isupper, read.text)) * 50 < len(read.text)
        found = [self._word(read, *each) for each in read.words]
        kept = list(found)
        for place, word in enumerate(found):
            if word.owners and not word.is_capital and self._is_common(word.key):
                beside = self._beside(read, found, place)
                if not beside and not _is_named(read, found, place, is_small=is_small):
                    kept[place] = word._replace(owners=frozenset())
        self._initials(read, kept)
        return kept

    def _word(self, read: ReadText, low: str, begin: int, end: int) -> Word:
        key = spelled(low)
        owners = self._owners.get(key) if len(key) > 1 else None
        if not owners and key.endswith("s") and len(key) > 3:
            owners = self._owners.get(key[:-1]) or self._owners.get(key.removesuffix("es"))
        if (
            not owners
            and self.parts
            and len(key) >= _SHORTEST_NICKNAME
            and (key in first_names() or key in unsure_names())
        ):
            owners = {
                at
                for at, parts in enumerate(self.parts)
                if any(len(part) > len(key) + 1 and part.startswith(key) for part in parts)
            }
        return Word(begin, end, key, read.text[begin].isupper(), frozenset(owners or ()))

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

    def _initials(self, read: ReadText, kept: list[Word]) -> None:
        """Give their owners to initials and particles beside a part of a name."""
        for place, word in enumerate(kept):
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


def _has_no_capital(letter: str) -> bool:
    return letter.isalpha() and letter.lower() == letter.upper() and not letter.isascii()


def _places(name: str, text: str) -> Iterator[int]:
    at = text.find(name)
    while at >= 0:
        yield at
        at = text.find(name, at + len(name))


def _is_named(read: ReadText, found: Sequence[Word], place: int, *, is_small: bool) -> bool:
    """Return True for a word in small letters that is a sentence by itself, or stands behind a greeting."""
    begin, end = found[place].begin, found[place].end
    before, after = read.text[max(0, begin - 9) : begin].rstrip(" -")[-1:], read.text[end : end + 9].lstrip(" ")[:2]
    if before in {"", "\n", ".", "!", "?"} and after[:1] in {"", "\n", ".", "!", ",", ":"}:
        return True
    if after in {"'s", "’s"}:
        return True
    told = found[place - 1].key if place else ""
    if told in GREETINGS or told in TITLES:
        return after[:1] in {"", "\n", ",", "!", "."} or is_small
    return is_small and (told in LABELS or told in CLOSINGS or told in {"user", "for", "von", "bei"})
