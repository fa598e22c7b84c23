"""Similarity of texts in a model's space, without the language's common part."""

import numpy as np
import pytest

from retrieval.space import Space, parallel_texts

RANDOM = np.random.default_rng(5)
MATTERS = RANDOM.normal(size=(24, 96))
LANGUAGES = {language: 4 * RANDOM.normal(size=96) for language in ("en", "de", "fr")}


def said(matter: int, language: str) -> list[float]:
    text: list[float] = (MATTERS[matter] + LANGUAGES[language]).tolist()
    return text


def a_space(scale: float = 1.0) -> Space:
    texts = {language: [[scale * each for each in said(n, language)] for n in range(24)] for language in LANGUAGES}
    return Space(texts, texts)


def test_the_same_is_near_in_any_language_and_another_matter_is_not_in_the_same() -> None:
    space = a_space()
    kept = space.stored(said(3, "de"), "de") + space.stored(said(4, "en"), "en") + space.stored(said(3, "en"), "en")
    in_german, another, in_english = space.nearness(space.asked(said(3, "en"), "en"), kept)
    assert in_german == pytest.approx(in_english, rel=0.1)
    assert abs(another) < 3 < in_german


def test_nearness_is_in_deviations_of_texts_that_have_nothing_in_common() -> None:
    """Comparable between models with vectors of any length."""
    space, longer = a_space(), a_space(50.0)
    kept = b"".join(space.stored(said(n, "en"), "en") for n in range(24))
    near = np.array([space.nearness(space.asked(said(n, "fr"), "fr"), kept) for n in range(24)])
    others = near[~np.eye(24, dtype=bool)]
    assert abs(others.mean()) < 1
    assert 0.5 < others.std() < 1.5
    times_fifty = [50.0 * each for each in said(3, "fr")]
    assert longer.nearness(longer.asked(times_fifty, "fr"), kept) == pytest.approx(
        space.nearness(space.asked(said(3, "fr"), "fr"), kept), abs=1e-3
    )


def test_a_byte_a_dimension_is_kept_and_nothing_comes_of_nothing() -> None:
    space = a_space()
    assert len(space.stored(said(1, "en"), "en")) == space.dimensions == 96
    assert space.nearness(space.asked(said(1, "en"), "en"), b"") == []
    nothing = [float(each) for each in LANGUAGES["en"]]
    assert all(np.isfinite(space.nearness(space.asked(nothing, "en"), space.stored(nothing, "en"))))


def test_a_language_without_sentences_has_what_is_common_to_all_taken_off() -> None:
    space = a_space()
    (near,) = space.nearness(space.asked(said(3, "en"), "ru"), space.stored(said(3, "en"), "ru"))
    assert near > 3


def test_the_sentences_say_the_same_in_each_of_our_languages() -> None:
    texts = parallel_texts()
    assert set(texts) == {"en", "de", "fr", "es", "it", "nl", "pt"}
    assert {len(each) for each in texts.values()} == {24}
    assert all("\n" in text for each in texts.values() for text in each)
