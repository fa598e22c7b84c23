"""Ranking measures: recall and nDCG, for one query and over many."""

import math
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean

from benchmarks.retrieval.sets import Incoming

Rankings = Mapping[str, Sequence[str]]
"""Of each query, by its id, the families of the tickets that were found, best first."""


def recall(asked: Incoming, found: Sequence[str], most: int) -> float:
    """Return the family's share of the best `most`; each family has more members than that."""
    return sum(family == asked.family for family in found[:most]) / most


def hit(asked: Incoming, found: Sequence[str], most: int) -> float:
    """Return 1 if one of the best `most` is of the family, else 0."""
    return float(asked.family in found[:most])


def ndcg(asked: Incoming, found: Sequence[str], most: int) -> float:
    """Return the discounted gain of the best `most`, relative to all being of the family."""
    gains = [1 / math.log2(place + 2) for place in range(most)]
    return sum(gain for gain, family in zip(gains, found, strict=False) if family == asked.family) / sum(gains)


def mean(
    queries: Sequence[Incoming],
    rankings: Rankings,
    of: Callable[[Incoming, Sequence[str], int], float],
    most: int,
) -> float:
    """Return the mean over the queries that have a right answer; 0 if none has."""
    worth = [of(asked, rankings.get(asked.id, ()), most) for asked in queries if asked.family is not None]
    return fmean(worth) if worth else 0.0
