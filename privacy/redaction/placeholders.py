"""Placeholders of redacted values: `[PERSON_1]`.

Spellings of one value share a placeholder (`key_of`), and so do names of one person (`Identities`). In an answer, a
placeholder is recognised even if the model changed its form (`looked`).
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from privacy.redaction.lexicon import terms
from privacy.redaction.people import parts_of, spelled
from privacy.redaction.phones import international
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
"""Kind -> the words that replace a placeholder that the model invented."""
KIND_OF_WORD = {spelled(word): kind for kind in KINDS for word in terms(f"kind_{kind.lower()}")}
"""Word for a kind in any language, normalised by `spelled` -> kind."""
# A placeholder in brackets, also in the forms to which models change it.
_LIKE = pattern("placeholders.like")
_PLACEHOLDER = re.compile(r"\[([A-Z]+)_(\d+)\]")


class Looked(NamedTuple):
    """A part of a text that looks like a placeholder."""

    begin: int
    end: int
    number: int | None
    kind: str


def looked(text: str) -> Iterator[Looked]:
    """Find bracketed parts of a folded text with a word for a kind."""
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
    """The placeholders of one model conversation, numbered across all kinds."""

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
        """Return the placeholder of a kind and key; create it for `value` if missing."""
        if (kind, key) not in self._by_key:
            self._by_key[kind, key] = self._keep(self._last + 1, kind, value)
        return self._by_key[kind, key]

    def restored(self, text: str, clean: Callable[[str], str]) -> str:
        """Put values in place of known kinds and numbers, and words for a kind in place of other placeholders."""
        told = folded(text)
        out, at = [], 0
        for each in looked(told.text):
            kept = self._by_number.get(each.number) if each.number is not None else None
            value = clean(kept[1]) if kept and kept[0] == each.kind else f"[{KINDS[each.kind]}]"
            out += [told.original(at, each.begin), value]
            at = each.end
        return "".join([*out, told.original(at, len(told.text))])


_APART = re.compile(r"[\s./-]")
# A part that occurs in more names identifies none of them.
_MAX_SHARING_A_PART = 30


def key_of(kind: str, written: str) -> str:
    """Return the key that all spellings of a value share; `written` is folded."""
    if kind == "PERSON":
        return " ".join(sorted(set(parts_of(written)))) or written
    if kind == "PHONE":
        return international(written)
    if kind in {"BANK", "CARD", "ID"}:
        return _APART.sub("", written).upper()
    return " ".join(written.lower().split()) if kind in {"EMAIL", "LOGIN", "HOST", "ADDRESS"} else written


class Identities:
    """The people of a conversation by key, each with the name parts seen so far."""

    def __init__(self) -> None:
        self._parts, self._by_part = dict[str, set[str]](), dict[str, set[str]]()
        self._shared, self._settled = set[str](), set[str]()

    def add(self, key: str, *, is_settled: bool = False) -> None:
        """Add a person; a settled name gets no further parts."""
        if key not in self._parts:
            self._parts[key] = set()
            self._extend(key, key.split())
        if is_settled:
            self._settled.add(key)

    def of(self, key: str) -> str:
        """Return the key of the only person with this name; add one if it fits none or several."""
        parts = [self._known(part) for part in key.split()]
        key = " ".join(sorted(set(parts)))
        if key in self._parts or not parts:
            return key
        near = self._having(max(parts, key=len))
        those = [who for who in near if who not in self._shared and self._fits(parts, self._parts[who])]
        if len(those) == 1:
            return those[0]
        if not those and (longer := self._that_grow(parts)):
            self._extend(longer, parts)
            return longer
        self.add(key)
        if those:
            self._shared.add(key)
        return key

    def _known(self, part: str) -> str:
        bare = part.removesuffix("s")
        return bare if part not in self._by_part and bare in self._by_part else part

    def _having(self, part: str) -> Iterable[str]:
        if len(part) > 1:
            return sorted(self._by_part.get(part, ()))
        return sorted({who for other, those in self._by_part.items() if other.startswith(part) for who in those})

    @staticmethod
    def _fits(parts: list[str], name: set[str]) -> bool:
        return all(part in name or (len(part) == 1 and any(other.startswith(part) for other in name)) for part in parts)

    def _that_grow(self, parts: list[str]) -> str:
        few = [self._by_part.get(part, set()) for part in parts if len(part) > 1]
        those = {who for those in few if len(those) <= _MAX_SHARING_A_PART for who in those}
        others = those - self._settled - self._shared
        growing = [who for who in others if self._fits(list(self._parts[who]), set(parts))]
        return growing[0] if len(growing) == 1 else ""

    def _extend(self, key: str, parts: Iterable[str]) -> None:
        for part in parts:
            self._parts[key].add(part)
            self._by_part.setdefault(part, set()).add(key)
