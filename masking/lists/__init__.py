"""Lists of names, and of words that are none, each `spelled` and read once; README.md here says from where they are."""

from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).parent


@cache
def _list(name: str) -> frozenset[str]:
    return frozenset((_FOLDER / f"{name}.txt").read_text("ascii").split())


def first_names() -> frozenset[str]:
    """Return first names that are hardly anything else."""
    return _list("first")


def unsure_names() -> frozenset[str]:
    """Return first names that are words, places or products as well."""
    return _list("unsure")


def surnames() -> frozenset[str]:
    """Return frequent surnames, many of which are words as well."""
    return _list("last")


def words() -> frozenset[str]:
    """Return words, products and places in tickets of several languages."""
    return _list("words")


@cache
def _sets() -> dict[str, frozenset[str]]:
    sections = (_FOLDER / "sets.txt").read_text("utf-8").split("[")[1:]
    return {name: frozenset(told.split()) for name, _, told in (each.partition("]") for each in sections)}


def listed(name: str) -> frozenset[str]:
    """Return the words of a section of sets.txt, which is named by the file that asks for it."""
    return _sets()[name]
