"""Word lists from `data/`, read once; data/README.md names their sources."""

import tomllib
from functools import cache, partial
from pathlib import Path

_DATA = Path(__file__).parent / "data"


@cache
def _list(name: str) -> frozenset[str]:
    return frozenset((_DATA / f"{name}.txt").read_text("utf-8").split())


# All as `spelled`: first names that are hardly anything else, those that are words or places too, frequent surnames,
# words of tickets in several languages, and products that are first names in most tickets.
first_names, unsure_names, surnames, words, also_names = (
    partial(_list, name) for name in ("first", "unsure", "last", "words", "also_names")
)


@cache
def _all_terms() -> dict[str, frozenset[str]]:
    terms = tomllib.loads((_DATA / "terms.toml").read_text("utf-8"))
    return {name: frozenset(words.split()) for name, words in terms.items()}


def terms(name: str) -> frozenset[str]:
    """Return the words of one key of terms.toml, in lower case."""
    return _all_terms()[name]


@cache
def products() -> tuple[frozenset[str], dict[str, list[tuple[str, ...]]]]:
    """Return products of one word, and longer ones by their first word, as `spelled`."""
    from privacy.redaction.people import spelled_words  # noqa: PLC0415 -- people.py needs this module

    names = [tuple(spelled_words(line)) for line in (_DATA / "products.txt").read_text("utf-8").splitlines()]
    longer: dict[str, list[tuple[str, ...]]] = {}
    for parts in sorted(filter(None, names), key=len, reverse=True):
        if len(parts) > 1:
            longer.setdefault(parts[0], []).append(parts)
    return frozenset(parts[0] for parts in names if len(parts) == 1 and len(parts[0]) > 1), longer


def is_known(key: str) -> bool:
    return key in words() or key in products()[0]
