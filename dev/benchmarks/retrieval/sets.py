"""The retrieval set of tickets and its split; its origin is in `sets/README.md`."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

FOLDER = Path(__file__).parent / "sets"
_One = TypeVar("_One")


@dataclass(frozen=True, slots=True)
class Resolved:
    """An earlier ticket. Tickets of a family share the problem and the fix."""

    id: str
    family: str
    language: str
    subject: str
    description: str
    resolution: str


@dataclass(frozen=True, slots=True)
class Incoming:
    """An incoming ticket; the right finds are of its `family`, none without one.

    Kinds: `plain`, `short` (two or three words), `noisy` (a whole mail), `log`, `foreign` (not English), `none`.
    """

    id: str
    family: str | None
    kind: str
    language: str
    subject: str
    description: str

    @property
    def is_for_tuning(self) -> bool:
        """Return True for the tuning half, which no figure uses.

        Families are split whole, by a hash of the name, so that tuning sees none of the tested words.
        """
        return sha256((self.family or self.id).encode()).digest()[0] % 2 == 0


@dataclass(frozen=True, slots=True)
class Article:
    """A knowledge base article, and the families it helps."""

    id: str
    families: Sequence[str]
    title: str
    text: str


def tickets() -> list[Resolved]:
    return _read("tickets", Resolved)


def queries() -> list[Incoming]:
    return _read("queries", Incoming)


def articles() -> list[Article]:
    return _read("documents", Article)


def _read(name: str, make: Callable[..., _One]) -> list[_One]:
    files = sorted((FOLDER / name).glob("*.jsonl"))
    lines = (line for file in files for line in file.read_text("utf-8").splitlines())
    return [make(**json.loads(line)) for line in lines]
