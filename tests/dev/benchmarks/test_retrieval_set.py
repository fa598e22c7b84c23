"""The retrieval set and its measures match their page."""

import re
from collections import Counter

import pytest

from dev.benchmarks.retrieval.benchmark import hit, mean, ndcg, recall
from dev.benchmarks.retrieval.sets import Incoming, articles, queries, tickets


def test_each_query_has_a_family_to_find_or_none() -> None:
    families = {one.family for one in tickets()}
    assert {one.family for one in queries()} == {*families, None}
    assert all((one.family is None) == (one.kind == "none") for one in queries())
    assert {family for article in articles() for family in article.families} <= families


TEXTS = [
    *((one.id, one.subject, one.description) for one in tickets()),
    *((one.id, one.subject, one.description) for one in queries()),
]


def test_ids_are_unique_and_no_two_texts_are_the_same() -> None:
    ids = [name for name, _, _ in TEXTS] + [article.id for article in articles()]
    assert len(set(ids)) == len(ids)
    long = [text[:40] for _, _, text in TEXTS if len(text) > 40]
    # Mail headers begin alike.
    assert [text for text, count in Counter(long).items() if count > 1 and ":" not in text and "<" not in text] == []


def test_nobody_in_it_is_real() -> None:
    texts = [f"{subject} {text}" for _, subject, text in TEXTS]
    domains = {name.lower() for text in texts for name in re.findall(r"@[\w-]+(?:\.[\w-]+)*\.([A-Za-z]{2,})\b", text)}
    assert domains <= {"example"}


def test_no_family_is_for_tuning_and_measuring() -> None:
    halves = [{one.family for one in queries() if one.is_for_tuning is half} - {None} for half in (True, False)]
    assert halves[0] & halves[1] == set()
    assert min(map(len, halves)) > 20


@pytest.mark.parametrize(
    ("found", "of_three", "gain", "one"),
    [
        ((), 0, 0, 0),
        (("a", "b", "c", "d"), 0, 0, 0),
        (("x", "x", "x"), 1, 1, 1),
        (("x", "a", "b"), 1 / 3, 0.469, 1),
        (("a", "b", "x"), 1 / 3, 0.235, 1),
        (("a", "b", "c", "x"), 0, 0, 0),
    ],
)
def test_measures(found: tuple[str, ...], of_three: float, gain: float, one: float) -> None:
    asked = Incoming("1", "x", "plain", "en", "s", "d")
    nothing = Incoming("2", None, "none", "en", "s", "d")
    assert recall(asked, found, 3) == pytest.approx(of_three)
    assert ndcg(asked, found, 3) == pytest.approx(gain, abs=0.001)
    assert hit(asked, found, 3) == one
    assert mean([asked, nothing], {"1": found, "2": ("x",)}, recall, 3) == pytest.approx(of_three)
