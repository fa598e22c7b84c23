"""The share of a resolution that a note already had: a measure, no judgement."""

from collections.abc import Sequence

from retrieval.language import LANGUAGES, languages_of
from retrieval.terms import weighed_terms

_LEAST_TERMS = 3
_LONGEST = 8000


def taken_up(steps: Sequence[str], resolution: str, ticket: str, among: Sequence[str] = LANGUAGES) -> float | None:
    """Return the share of a resolution's terms in the steps of a note, 0 to 1.

    It is |R ∩ S| / |R|: S are the terms of the steps, R those of the resolution that the `ticket` itself does not have,
    because they prove nothing about the note. Terms are those of `retrieval.terms`: stems without stop words, and
    codes; each counts once. None if R has fewer than 3 ("fixed", "done"), or there are no steps. `among` are the
    possible languages of the texts; all three are read as the resolution's.

    Limits: it compares words. A resolution in another language than the note, or in other words, counts as not taken
    up. One that names the same things counts as taken up, from any source, and so does "it was not the driver". A
    pasted note gives 1. So it compares prompts, models and tenants over many notes, and is meaningless for a single
    one.
    """
    language = languages_of(resolution, among)[0]

    def terms(text: str) -> set[int]:
        return set(weighed_terms("", text[:_LONGEST], language))

    told, proposed = terms(resolution) - terms(ticket), terms("\n".join(steps))
    if len(told) < _LEAST_TERMS or not proposed:
        return None
    return len(told & proposed) / len(told)
