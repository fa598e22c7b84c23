"""Evaluated tickets with given finds, without a search."""

from benchmarks.evaluation.cases import EvaluatedTicket, earlier_by_number, with_finds
from benchmarks.retrieval.methods import said
from benchmarks.retrieval.sets import Incoming, Resolved
from integrations.values import SimilarTicket


def found(one: Resolved) -> SimilarTicket:
    return SimilarTicket(one.id, one.subject, said(one.resolution), strength=0.8)


def with_given_finds(asked: Incoming) -> EvaluatedTicket:
    """Return a ticket with two finds of its family and one of another, if it has a family.

    Without a family it has only the other one.
    """
    field = asked.id.partition("-")[0]
    earlier = sorted(earlier_by_number().values(), key=lambda one: one.id)
    own = [one for one in earlier if one.family == asked.family and one.language == "en"][1:3]
    other = next(one for one in earlier if one.family != asked.family and one.id.startswith(field))
    return with_finds(asked, [*map(found, own), found(other)], [])
