"""Placeholders: their kinds, the changes that a model makes to them, and their values."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from privacy.redaction.identities import key_of
from privacy.redaction.lexicon import terms
from privacy.redaction.people import spelled
from privacy.redaction.recognizers import pattern
from privacy.redaction.text import folded

KINDS = {
    "PERSON": "a person",
    "LOGIN": "a login name",
    "EMAIL": "a mail address",
    "PHONE": "a telephone number",
    "BANK": "a bank account",
    "CARD": "a payment card",
    "ID": "a personal number",
    "BIRTHDATE": "a date of birth",
    "SECRET": "a secret",
    "ADDRESS": "a postal address",
    "HOST": "a host",
    "TEXT": "a text",
}
"""Each with the words that replace an invented placeholder of it."""
KIND_OF_WORD = {spelled(word): kind for kind in KINDS for word in terms(f"kind_{kind.lower()}")}
"""The kind that a word of some language stands for, as `spelled`."""
# In brackets, with the changes that models make to one.
_LIKE = pattern("placeholders.like")
_PLACEHOLDER = re.compile(r"\[([A-Z]+)_(\d+)\]")


class Looked(NamedTuple):
    """A part of a text that looks like a placeholder."""

    begin: int
    end: int
    number: int | None
    kind: str


def looked(text: str) -> Iterator[Looked]:
    """Find the parts of a folded text that look like placeholders, in brackets and with a word for a kind."""
    for found in _LIKE.finditer(text):
        if found["unnumbered"]:
            yield Looked(*found.span(), None, "SECRET")
        elif kind := _kind(found["word"]):
            yield Looked(*found.span(), int(found["number"]), kind)


def _kind(word: str) -> str | None:
    if whole := KIND_OF_WORD.get(spelled(word).replace("-\n", "")):
        return whole
    kinds = [KIND_OF_WORD[part] for part in re.split(r"[\s-]+", spelled(word)) if part in KIND_OF_WORD]
    return kinds[0] if kinds else None


class Placeholders:
    """The placeholders of one conversation with a model, by number; each number is used once over all kinds."""

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
        """Return the text with the values in place of placeholders.

        Kind and number must both fit a placeholder of this conversation. Anything else that looks like one becomes its
        kind in words.
        """
        told = folded(text)
        out, at = [], 0
        for each in looked(told.text):
            kept = self._by_number.get(each.number) if each.number is not None else None
            value = clean(kept[1]) if kept and kept[0] == each.kind else f"[{KINDS[each.kind]}]"
            out += [told.original(at, each.begin), value]
            at = each.end
        return "".join([*out, told.original(at, len(told.text))])
