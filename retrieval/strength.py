"""How strong a find is, so that it means the same for a tenant with twenty tickets and for one with a million."""

import math

LEAST = 0.35
"""What is weaker counts as nothing found: of the best finds that are right it loses one in ten."""
# A logistic regression over the half of the set in benchmarks/retrieval that no figures are told of, among 475, 200,
# 60 and 15 earlier tickets (benchmarks/retrieval/fit.py); docs/benchmarks.md has what became of it on the other half.
_BY_SCORE, _BY_ASKED, _SHIFT = 2.71, -1.0, -4.58


def strength(score: float, asked: float) -> float:
    """Return how likely it is that a text is about the same, between 0 and 1.

    `score` is its BM25, `asked` the worth of all that was asked for: by chance a long question has more in common with
    any text than a short one.
    """
    if score <= 0 or asked <= 0:
        return 0.0
    return 1 / (1 + math.exp(-(_BY_SCORE * math.log(score) + _BY_ASKED * math.log(asked) + _SHIFT)))
