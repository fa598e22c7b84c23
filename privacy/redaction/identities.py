"""When two spellings are the same value, and which names of one conversation mean the same person."""

import re
from collections.abc import Iterable

from privacy.redaction.people import parts_of
from privacy.redaction.phones import international

_APART = re.compile(r"[\s./-]")
# A part of so many names identifies none of them.
_MOST_OF_A_NAME = 30


def key_of(kind: str, written: str) -> str:
    """Return what the spellings of one value of a kind have in common, of a folded text."""
    if kind == "PERSON":
        return " ".join(sorted(set(parts_of(written)))) or written
    if kind == "PHONE":
        return international(written)
    if kind in {"BANK", "CARD", "ID"}:
        return _APART.sub("", written).upper()
    return " ".join(written.lower().split()) if kind in {"EMAIL", "LOGIN", "HOST", "ADDRESS"} else written


class Identities:
    """The people of a conversation by key, each with the parts of its name so far."""

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
        """Return the key of the person that a name means, a new one if it fits none.

        A part that several people share is a name by itself.
        """
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
        those = {who for those in few if len(those) <= _MOST_OF_A_NAME for who in those}
        others = those - self._settled - self._shared
        growing = [who for who in others if self._fits(list(self._parts[who]), set(parts))]
        return growing[0] if len(growing) == 1 else ""

    def _extend(self, key: str, parts: Iterable[str]) -> None:
        for part in parts:
            self._parts[key].add(part)
            self._by_part.setdefault(part, set()).add(key)
