"""Strength of a find by its words and by its embedding."""

import pytest

from retrieval.strength import LEAST, strength_by_both


def test_each_of_the_two_adds_and_either_alone_can_be_enough() -> None:
    assert strength_by_both(0.0, 6.0, one_language=False) > LEAST > strength_by_both(0.0, 0.0, one_language=False)
    assert strength_by_both(0.9, 2.5, one_language=True) > LEAST > strength_by_both(0.0, 2.5, one_language=True)
    assert strength_by_both(0.5, 3.0, one_language=True) > strength_by_both(0.1, 3.0, one_language=True)


def test_no_words_in_common_say_less_where_the_languages_differ() -> None:
    assert strength_by_both(0.0, 3.0, one_language=False) > strength_by_both(0.0, 3.0, one_language=True)


@pytest.mark.parametrize("by_words", [-1.0, 0.0, 1e-300, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("nearness", [-40.0, 0.0, 40.0])
def test_it_is_a_likelihood_whatever_comes(by_words: float, nearness: float) -> None:
    assert 0 <= strength_by_both(by_words, nearness, one_language=True) <= 1
