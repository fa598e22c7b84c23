"""The set of tickets that retrieval is measured with, and how it is split; its story stands in `sets/README.md`."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

FOLDER = Path(__file__).parent / "sets"
_One = TypeVar("_One")


@dataclass(frozen=True, slots=True)
class Resolved:
    """An earlier ticket. Those of a family had the same trouble, and the same helped."""

    id: str
    family: str
    language: str
    subject: str
    description: str
    resolution: str


@dataclass(frozen=True, slots=True)
class Incoming:
    """A ticket that comes in: one of the `family` is to be found; none where there is no family.

    `kind` is `plain`, `short` (two or three words), `noisy` (a mail with all its wrapping), `log`, `foreign` (not in
    English), or `none`.
    """

    id: str
    family: str | None
    kind: str
    language: str
    subject: str
    description: str

    @property
    def is_for_tuning(self) -> bool:
        """True of one that choices may be made by; figures are told of the others alone.

        A family is one or the other whole, by a hash of its name: what was chosen knows none of its words.
        """
        return sha256((self.family or self.id).encode()).digest()[0] % 2 == 0


@dataclass(frozen=True, slots=True)
class Article:
    """A document of the knowledge base, and the families that it helps."""

    id: str
    families: Sequence[str]
    title: str
    text: str


def tickets() -> list[Resolved]:
    """Return the earlier tickets."""
    return _read("tickets", Resolved)


def queries() -> list[Incoming]:
    """Return the tickets that come in."""
    return _read("queries", Incoming)


def articles() -> list[Article]:
    """Return the documents."""
    return _read("documents", Article)


def _read(name: str, make: Callable[..., _One]) -> list[_One]:
    files = sorted((FOLDER / name).glob("*.jsonl"))
    lines = (line for file in files for line in file.read_text("utf-8").splitlines())
    return [make(**_fields(json.loads(line))) for line in lines]


def _fields(line: Any) -> Mapping[str, Any]:
    return dict(line)
