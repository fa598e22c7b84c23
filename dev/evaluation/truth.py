"""The reference fix of a ticket: the ideas of its family's resolutions.

An idea is a pattern (`ideas.jsonl`) over a plain text with its words in four languages. They were written from three
English resolutions of each family; the others, and all in other languages, validate them. The terms of all resolutions
separate a fix from that of a family with the same words.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from functools import cache
from pathlib import Path

from dev.benchmarks.retrieval.methods import desk_text
from dev.benchmarks.retrieval.sets import tickets
from dev.evaluation.things import plain
from knowledge.terms import weighed_terms

_MAX_TERMS = 3
# Chosen on the tuning half: a family this much nearer is the named one.
_NEARER = 2.0
_FILE = Path(__file__).with_name("ideas.jsonl")


@cache
def ideas() -> Mapping[str, Sequence[re.Pattern[str]]]:
    """Return the ideas of each family's fix; a note needs all of them."""
    lines = [json.loads(line) for line in _FILE.read_text("utf-8").splitlines()]
    return {line["family"]: [re.compile(pattern) for pattern in line["ideas"]] for line in lines}


def names_fix(family: str, claims: Sequence[str], language: str) -> bool:
    """Return True if the claims have all ideas of this fix and match no other better."""
    text = "\n".join(claims)
    if not _has_ideas(family, text):
        return False
    near = _nearness(text, language)
    rivals = (near[rival] for rival in ideas() if rival != family and _has_ideas(rival, text))
    return max(rivals, default=0.0) <= _NEARER * near[family]


def _has_ideas(family: str, text: str) -> bool:
    folded = plain(text)
    return all(idea.search(folded) for idea in ideas()[family])


def _nearness(text: str, language: str) -> Mapping[str, float]:
    """Return how much of each family's resolutions a text has, rare terms first."""
    terms, near = frozenset(weighed_terms("", text, language)), {}
    for family, resolutions in _resolutions().items():
        shared = Counter(term for resolution in resolutions for term in resolution & terms)
        near[family] = sum(min(count, _MAX_TERMS) * _rarity()[term] for term, count in shared.items())
    return near


@cache
def _rarity() -> Mapping[int, float]:
    families = Counter(term for resolutions in _resolutions().values() for term in frozenset().union(*resolutions))
    return {term: math.log(len(_resolutions()) / count) for term, count in families.items()}


@cache
def _resolutions() -> Mapping[str, Sequence[Set[int]]]:
    resolutions: dict[str, list[Set[int]]] = {}
    for ticket in tickets():
        resolutions.setdefault(ticket.family, []).append(
            frozenset(weighed_terms("", desk_text(ticket.resolution), ticket.language))
        )
    return resolutions
