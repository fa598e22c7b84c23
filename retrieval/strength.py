"""The strength of a find, comparable between small and large tenants."""

import math

LEAST = 0.35
"""What is weaker counts as nothing found: of the best finds that are right it loses one in ten."""
# A logistic regression over the training half of the set in benchmarks/retrieval, among 475, 200, 60 and 15 earlier
# tickets; docs/benchmarks.md has the results on the other half.
_BY_SCORE, _BY_ASKED, _SHIFT = 2.58, -0.98, -4.21


# Words and nearness, fitted in the same way on the same data. Texts in two languages share few words on any topic.
_BY_WORDS, _BY_WORDS_OF_ONE_LANGUAGE, _BY_NEARNESS, _BOTH_SHIFT = 0.18, 0.39, 1.39, -4.26
_NO_WORDS = -6.0


def strength(score: float, asked: float) -> float:
    """Return the probability, 0 to 1, that a text is about the same matter.

    `score` is its BM25, `asked` the total weight of the query: a long query shares more with any text by chance.
    """
    if score <= 0 or asked <= 0:
        return 0.0
    return 1 / (1 + math.exp(-(_BY_SCORE * math.log(score) + _BY_ASKED * math.log(asked) + _SHIFT)))


def logit_of_words(by_words: float) -> float:
    likely = min(max(by_words, 0.0), 1 - 1e-9)
    return max(math.log(likely / (1 - likely)), _NO_WORDS) if likely > 0 else _NO_WORDS


def strength_by_both(by_words: float, nearness: float, *, one_language: bool) -> float:
    """Return the strength of a text with an embedding, by words and by nearness.

    `by_words` is its `strength`, 0 without common words; `nearness` is that of `retrieval.space`.
    """
    weight = _BY_WORDS + _BY_WORDS_OF_ONE_LANGUAGE * one_language
    return 1 / (1 + math.exp(-(weight * logit_of_words(by_words) + _BY_NEARNESS * nearness + _BOTH_SHIFT)))
