"""How strong a find is, so that it means the same for a tenant with twenty tickets and for one with a million."""

import math

LEAST = 0.35
"""What is weaker counts as nothing found: of the best finds that are right it loses one in ten."""
# A logistic regression over the half of the set in benchmarks/retrieval that no figures are told of, among 475, 200,
# 60 and 15 earlier tickets (benchmarks/retrieval/fit.py); docs/benchmarks.md has what became of it on the other half.
_BY_SCORE, _BY_ASKED, _SHIFT = 2.58, -0.98, -4.21


# Of both, the same way among the same numbers of tickets. In two languages few words are in common whatever they say.
_BY_WORDS, _BY_WORDS_OF_ONE_LANGUAGE, _BY_NEARNESS, _BOTH_SHIFT = 0.18, 0.39, 1.39, -4.26
_NO_WORDS = -6.0


def strength(score: float, asked: float) -> float:
    """Return how likely it is that a text is about the same, between 0 and 1.

    `score` is its BM25, `asked` the worth of all that was asked for: by chance a long question has more in common with
    any text than a short one.
    """
    if score <= 0 or asked <= 0:
        return 0.0
    return 1 / (1 + math.exp(-(_BY_SCORE * math.log(score) + _BY_ASKED * math.log(asked) + _SHIFT)))


def logit_of_words(by_words: float) -> float:
    """Return what a strength by words counts beside an embedding: a little, where none are in common."""
    likely = min(max(by_words, 0.0), 1 - 1e-9)
    return max(math.log(likely / (1 - likely)), _NO_WORDS) if likely > 0 else _NO_WORDS


def strength_by_both(by_words: float, nearness: float, *, one_language: bool) -> float:
    """Return the same of a text with an embedding, and of what is asked: by its words, and by how near the two are.

    `by_words` is its `strength`, 0 with no words in common; `nearness` as `retrieval.space` has it.
    """
    weight = _BY_WORDS + _BY_WORDS_OF_ONE_LANGUAGE * one_language
    return 1 / (1 + math.exp(-(weight * logit_of_words(by_words) + _BY_NEARNESS * nearness + _BOTH_SHIFT)))
