"""Who is who: the names of people of one conversation, so that one person is one placeholder however written."""

from collections.abc import Iterable

_MOST_OF_A_NAME = 30


class Identities:
    """Each is known by a key, and has the parts that its name was written with."""

    def __init__(self) -> None:
        self._parts: dict[str, set[str]] = {}
        self._by_part: dict[str, set[str]] = {}
        self._shared: set[str] = set()
        self._settled: set[str] = set()

    def add(self, key: str, *, is_settled: bool = False) -> None:
        """Tell of somebody; a name that is settled has no further parts."""
        if key not in self._parts:
            self._parts[key] = set()
            self._extend(key, key.split())
        if is_settled:
            self._settled.add(key)

    def of(self, key: str) -> str:
        """Return the key of whom a name means, somebody new where it can't be one of those who are known.

        A part that several of them have is a name by itself.
        """
        parts = [self._known(part) for part in key.split()]
        key = " ".join(sorted(set(parts)))
        if key in self._parts or not parts:
            return key
        those = [
            who
            for who in self._having(max(parts, key=len))
            if who not in self._shared and self._fits(parts, self._parts[who])
        ]
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
        """Return a part without the s of a genitive, where it is known without."""
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
        """Return who was named by some of these parts so far, if that is one."""
        few = [self._by_part.get(part, set()) for part in parts if len(part) > 1]
        # Of a name that so many have, nobody can tell who is meant.
        those = {who for those in few if len(those) <= _MOST_OF_A_NAME for who in those}
        growing = [
            who for who in those - self._settled - self._shared if self._fits(list(self._parts[who]), set(parts))
        ]
        return growing[0] if len(growing) == 1 else ""

    def _extend(self, key: str, parts: Iterable[str]) -> None:
        for part in parts:
            self._parts[key].add(part)
            self._by_part.setdefault(part, set()).add(key)
