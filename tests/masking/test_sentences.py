"""Sentences that tell a number of somebody or a secret, and those that only look so."""

from tests.masking import measure


def test_what_sentences_tell_is_found_and_what_looks_like_it_stays() -> None:
    counts = measure.of("sentences")
    assert counts.marked["id"] > 100
    assert counts.marked["secret"] > 100
    wrong = {what: those for what, those in counts.wrong.items() if what.rpartition(" ")[2].lower() in {"id", "secret"}}
    assert wrong == {}
