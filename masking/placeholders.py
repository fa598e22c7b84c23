"""Placeholders: how they are written, how a model writes them after all, and the values that they stand for."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from masking.folding import folded
from masking.keys import key_of
from masking.kinds import COUNTED, KIND_OF_WORD, KINDS
from masking.people import spelled

_MARKUP = r"[\\*_`]{0,3}"
# In brackets, with what may have become of them.
_LIKE = re.compile(
    rf"""(?x)
    [\[{{<【⟦](?:(?<=\[)(?P<unnumbered>SECRET\])|\s{{0,3}}{_MARKUP}\s{{0,3}}
        (?P<word>[^\W\d_]{{1,24}}(?:(?:-\n?|[ ])[^\W\d_]{{1,24}}){{0,2}})
        (?P<joint>[\s_\-:\#.\\*`]{{0,6}})
        (?P<number>\d{{1,6}})(?:['’]s)?{_MARKUP}\s{{0,3}}
    [\]}}>】⟧])
    """
)
# Or bare, the word and the number joined by something: looked for from the number, which is rarer.
_NUMBERED = re.compile(r"\d(?<=[\\_\s-]\d)\d{0,5}(?![\w]|[.,:]\d)")
_JOINT = re.compile(r"(?:\\_\s?|(?<!\\)_\s?|[ -])$")
_BARE = re.compile(r"(?<!\w)([^\W\d_]{2,24}|[eE]-[mM]ail)$")
# Without brackets and without what joins the two, other words stand before a number in any text.
_UNJOINED = frozenset(["PERSON", "EMAIL", "PHONE", "SECRET", "ADDRESS", "BANK", "LOGIN"])
_PLACEHOLDER = re.compile(r"\[([A-Z]+)_(\d+)\]")


def unchanged(value: str) -> str:
    """Return the value."""
    return value


class Looked(NamedTuple):
    """Something in a text that looks like a placeholder."""

    begin: int
    end: int
    number: int | None
    kind: str | None
    """What its word stands for, if it is known."""
    is_certain: bool
    """Whether it can be nothing else, whatever its number stands for."""


def looked(text: str) -> Iterator[Looked]:
    """Find what looks like a placeholder in a folded text, whether or not there is one of its number."""
    found = [*_bracketed(text), *_bare(text)]
    found.sort()
    end = 0
    for each in found:
        if each.begin >= end:
            end = each.end
            yield each


def _bracketed(text: str) -> Iterator[Looked]:
    for found in _LIKE.finditer(text):
        if found["unnumbered"]:
            yield Looked(found.start(), found.end(), None, "SECRET", is_certain=True)
            continue
        kind = _kind(found["word"])
        is_told = found["word"].isupper() and "_" in found["joint"] and spelled(found["word"]) not in COUNTED
        if kind or is_told:
            yield Looked(*found.span(), int(found["number"]), kind, is_certain=True)


def _bare(text: str) -> Iterator[Looked]:
    for found in _NUMBERED.finditer(text):
        joint = _JOINT.search(text, max(0, found.start() - 3), found.start())
        word = _BARE.search(text, max(0, joint.start() - 25), joint.start()) if joint else None
        if not joint or not word or not (kind := _kind(word[1])):
            continue
        is_joined, number = "_" in joint[0], int(found[0])
        if is_joined or (word[1][0].isupper() and word[1].upper() in _UNJOINED and number < 1000):
            is_certain = is_joined and word[1].isupper()
            yield Looked(word.start(), found.end(), number, kind, is_certain)


def _kind(word: str) -> str | None:
    if whole := KIND_OF_WORD.get(spelled(word).replace("-\n", "")):
        return whole
    kinds = [KIND_OF_WORD[part] for part in re.split(r"[\s-]+", spelled(word)) if part in KIND_OF_WORD]
    return kinds[0] if kinds else None


class Placeholders:
    """Those of one conversation with a model, by number; a number stands for one value of whatever kind."""

    def __init__(self, known: Mapping[str, str]) -> None:
        self.values: dict[str, str] = {}
        self._by_key: dict[tuple[str, str], str] = {}
        self._by_number: dict[int, tuple[str, str]] = {}
        self._last = 0
        for placeholder, value in known.items():
            if found := _PLACEHOLDER.fullmatch(placeholder):
                self._by_key[found[1], key_of(found[1], value)] = self._keep(int(found[2]), found[1], value)

    def _keep(self, number: int, kind: str, value: str) -> str:
        placeholder = f"[{kind}_{number}]"
        self.values[placeholder] = value
        self._by_number[number] = kind, value
        self._last = max(self._last, number)
        return placeholder

    def of(self, kind: str, key: str, value: str) -> str:
        """Return the placeholder of a value, a new one where there was none; those of one kind and key are one."""
        if (kind, key) not in self._by_key:
            self._by_key[kind, key] = self._keep(self._last + 1, kind, value)
        return self._by_key[kind, key]

    def restored(self, text: str, clean: Callable[[str], str]) -> str:
        """Return the text with the values in place of placeholders, each looked at once.

        One whose number is not known becomes its kind in words.
        """
        told = folded(text)
        out, at = [], 0
        for each in looked(told.text):
            if (value := self._value(each, clean)) is not None:
                out += [told.original(at, each.begin), value]
                at = each.end
        return "".join([*out, told.original(at, len(told.text))])

    def _value(self, each: Looked, clean: Callable[[str], str]) -> str | None:
        kept = self._by_number.get(each.number) if each.number is not None else None
        if kept and (each.is_certain or each.kind == kept[0]):
            return clean(kept[1])
        return f"[{KINDS[each.kind]}]" if each.kind and each.is_certain else None
