"""Tickets to evaluate, with finds that are given and not searched."""

from benchmarks.evaluation.cases import EvaluatedTicket, earlier_by_number, with_finds
from benchmarks.retrieval.methods import said
from benchmarks.retrieval.sets import Incoming, Resolved
from integrations.values import SimilarTicket


def found(one: Resolved) -> SimilarTicket:
    """An earlier ticket as a search gives it."""
    return SimilarTicket(one.id, one.subject, said(one.resolution), strength=0.8)


def with_given_finds(asked: Incoming) -> EvaluatedTicket:
    """A ticket with two finds of its family and one of another one; with that one alone where it has none."""
    field = asked.id.partition("-")[0]
    earlier = sorted(earlier_by_number().values(), key=lambda one: one.id)
    own = [one for one in earlier if one.family == asked.family and one.language == "en"][1:3]
    other = next(one for one in earlier if one.family != asked.family and one.id.startswith(field))
    return with_finds(asked, [*map(found, own), found(other)], [])
