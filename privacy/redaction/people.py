"""People as a desk names them: name parts, and login names derived from these."""

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from itertools import permutations

from integrations.values import Person as Person  # noqa: PLC0414 -- named from here by the modules beside
from privacy.redaction.lexicon import first_names, terms

_BESIDE = re.compile(r"\([^()]*\)|\[[^\[\]]*\]|[-–,|/] (?:IT|HR|external|extern)\b.*")
_PART = re.compile(r"[^\W\d_]+")
_UMLAUT = re.compile(r"([ao])e|(?<![aeq])(u)e")
_OTHERS = "ß:ss ø:o æ:a œ:o ł:l đ:d ð:d þ:th ı:i ’:'"
_OTHER_LETTERS = str.maketrans(dict(each.split(":") for each in _OTHERS.split()))
PARTICLES = terms("particles")
TITLES = terms("titles")
# Shared accounts: their words are in any ticket.
_SHARED = terms("shared_accounts")
_MAX_PARTS = 5


@lru_cache(20_000)
def spelled(part: str) -> str:
    """Return a word so that its spellings are equal: Müller, Mueller and MULLER."""
    small = part.lower()
    if not small.isascii():
        small = small.translate(_OTHER_LETTERS)
        small = "".join(each for each in unicodedata.normalize("NFKD", small) if not unicodedata.combining(each))
    if "ae" not in small and "oe" not in small and "ue" not in small:
        return small
    return _UMLAUT.sub(r"\1\2", small)


def spelled_words(text: str) -> list[str]:
    return [spelled(part) for part in _PART.findall(text)]


@lru_cache(2_000)
def parts_of(name: str) -> tuple[str, ...]:
    """Return `spelled` parts without titles and particles; none for shared accounts."""
    name = _BESIDE.sub(" ", name.partition("@")[0])
    parts = [spelled(part) for part in _PART.findall(name.replace(".", " ").replace("_", " "))]
    if all(part in _SHARED or part in PARTICLES for part in parts):
        return ()
    # A "Ben" or "San" in front is a first name.
    given = parts[:1] if parts[0] in PARTICLES and parts[0] in first_names() else []
    rest = [part for part in parts if part not in TITLES and part not in PARTICLES][:_MAX_PARTS]
    return tuple(given + rest or parts)


def particles_of(name: str) -> frozenset[str]:
    return frozenset(part for part in map(spelled, _PART.findall(name)) if part in PARTICLES)


@lru_cache(2_000)
def logins_of(name: str, parts: tuple[str, ...]) -> frozenset[str]:
    """Return the login names that desks derive from a name, except those with a separator (`anna.schmidt`)."""
    return frozenset(_logins_of(name, parts))


def _logins_of(name: str, parts: tuple[str, ...]) -> Iterator[str]:
    for first, last in permutations([part for part in parts if len(part) > 1], 2):
        yield from (one for one in (first + last, first[0] + last, last + first[0], first[:2] + last) if len(one) > 3)
        made = [last[:5] + first[:2], last[:3] + first[:3], last[:4] + first[:2], first[:3] + last[:3]]
        made += (first[0] + last[:6], first[0] + last[:7], last[:6] + first[0], last[:7] + first[0])
        yield from (each for each in made if len(each) > 5)
    whole = _whole(name)
    yield from (one[0] + two + three[0] for one, two, three in zip(whole, whole[1:], whole[2:], strict=False))
    for split in range(len(whole)):
        initials, rest = "".join(part[0] for part in whole[:split]), "".join(whole[split:])
        if split and len(rest) > 2:
            yield from (initials + rest, rest + initials)
        if split < len(whole) - 1:
            yield rest


def _whole(name: str) -> list[str]:
    name = _BESIDE.sub(" ", name.partition("@")[0])
    last, _, first = name.partition(",")
    return [part for part in map(spelled, _PART.findall(f"{first} {last}")) if part not in TITLES][:_MAX_PARTS]
