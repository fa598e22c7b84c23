"""The reference fix of a ticket: the ideas of its family's resolutions (`ideas.jsonl`).

An idea is a pattern over a plain text with its words in four languages. They were written from three English
resolutions of each family; the others, and all in other languages, validate them. The terms of all resolutions
separate a fix from that of a family with the same words.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from functools import cache
from pathlib import Path

from benchmarks.evaluation.things import plain
from benchmarks.retrieval.methods import said
from benchmarks.retrieval.sets import Resolved, tickets
from retrieval.terms import weighed_terms

_SEEN = 3
_MOST_TERMS = 3
# Chosen on the tuning half: a family this much nearer is the named one.
_NEARER = 2.0
_FILE = Path(__file__).with_name("ideas.jsonl")


@cache
def ideas() -> Mapping[str, Sequence[re.Pattern[str]]]:
    """Return the ideas of each family's fix; a note needs all of them."""
    lines = [json.loads(line) for line in _FILE.read_text("utf-8").splitlines()]
    return {line["family"]: [re.compile(pattern) for pattern in line["ideas"]] for line in lines}


@cache
def unseen(family: str) -> Sequence[Resolved]:
    some = [one for one in tickets() if one.family == family]
    seen = [one for one in some if one.language == "en"][:_SEEN]
    return [one for one in some if one not in seen]


def names_fix(family: str, claims: Sequence[str], language: str, *, without: Set[str] = frozenset()) -> bool:
    """Return True if the claims have all ideas of the family's fix and match no other better.

    `without` are resolutions, by ticket ids, to exclude: those that a planted answer repeats.
    """
    text = "\n".join(claims)
    if not _has_ideas(family, text):
        return False
    near = nearness(text, language, without)
    rivals = (near[other] for other in ideas() if other != family and _has_ideas(other, text))
    return max(rivals, default=0.0) <= _NEARER * near[family]


def _has_ideas(family: str, text: str) -> bool:
    folded = plain(text)
    return all(idea.search(folded) for idea in ideas()[family])


def nearness(text: str, language: str, without: Set[str] = frozenset()) -> Mapping[str, float]:
    terms = frozenset(weighed_terms("", text, language))
    return {family: _nearness(terms, some, without) for family, some in _resolutions().items()}


def _nearness(terms: Set[int], resolutions: Mapping[str, Set[int]], without: Set[str]) -> float:
    told = Counter(term for name, some in resolutions.items() if name not in without for term in some & terms)
    return sum(min(count, _MOST_TERMS) * _rarity()[term] for term, count in told.items())


@cache
def _rarity() -> Mapping[int, float]:
    families = Counter(term for some in _resolutions().values() for term in set().union(*some.values()))
    return {term: math.log(len(_resolutions()) / count) for term, count in families.items()}


@cache
def _resolutions() -> Mapping[str, Mapping[str, Set[int]]]:
    told: dict[str, dict[str, Set[int]]] = {}
    for one in tickets():
        terms = frozenset(weighed_terms("", said(one.resolution), one.language))
        told.setdefault(one.family, {})[one.id] = terms
    return told
