"""How much of what a resolution says stood in a note: a measure, and no judgement."""

from collections.abc import Sequence

from retrieval.language import LANGUAGES, languages_of
from retrieval.terms import weighed_terms

_LEAST_TERMS = 3
_LONGEST = 8000


def taken_up(steps: Sequence[str], resolution: str, ticket: str, among: Sequence[str] = LANGUAGES) -> float | None:
    """Return which part of a resolution's terms stands in the steps of a note, 0 to 1.

    It is |R ∩ S| / |R|: S are the terms of the steps, R those of the resolution that the `ticket` itself does not have,
    since what stood there shows nothing of the note. Terms are those of `retrieval.terms`: stems without stop words,
    and codes; each counts once. None where R has fewer than 3 ("fixed", "done"), or there are no steps. `among` are the
    languages that the texts may be in; all three are read as the resolution's.

    Its limits: it compares words. A resolution in another language than the note, or in words of its own, counts as
    not taken up; one that names the same things counts as taken up, whoever knew them from where, and so does "it was
    not the driver". A technician who pastes the note has 1. So it tells prompts, models and tenants apart over many
    notes, and says nothing of a single one.
    """
    language = languages_of(resolution, among)[0]

    def terms(text: str) -> set[int]:
        return set(weighed_terms("", text[:_LONGEST], language))

    told, proposed = terms(resolution) - terms(ticket), terms("\n".join(steps))
    if len(told) < _LEAST_TERMS or not proposed:
        return None
    return len(told & proposed) / len(told)
