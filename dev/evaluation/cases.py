"""The evaluated tickets: incoming ones of the retrieval set, with finds.

The search is the product's, over the earlier tickets of all families, so each model gets the same finds.
"""

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from hashlib import sha256
from pathlib import Path

from dev.benchmarks.retrieval.methods import CopiesInPostgres, desk_text
from dev.benchmarks.retrieval.sets import Incoming, Resolved, articles, queries, tickets
from integrations.values import DeskTicket
from knowledge.models import Document, SimilarTicket
from workflow.state import GraphState

# Above all existing ticket numbers.
_FIRST_NUMBER = 41_000


@dataclass(frozen=True, slots=True)
class EvaluatedTicket:
    """An incoming ticket, its finds, and which of them are right."""

    incoming: Incoming
    number: str
    similar_tickets: Sequence[SimilarTicket]
    documents: Sequence[Document]
    families: Mapping[str, Sequence[str]]
    """The families that a find helps, by a ticket's number or a document's title."""

    @property
    def state(self) -> GraphState:
        desk = DeskTicket(self.number, self.incoming.subject, desk_text(self.incoming.description), "", "", "Open", "")
        return {
            "ticket": desk,
            "conversation": (),
            "similar_tickets": self.similar_tickets,
            "documents": self.documents,
            "nothing_found": not (self.similar_tickets or self.documents),
        }

    @property
    def known(self) -> str:
        """Return all text from which a note may take names and numbers."""
        found = [f"#{one.shown} {one.subject}\n{one.resolution}" for one in self.similar_tickets]
        found += [f"{one.title}\n{one.text}" for one in self.documents]
        return "\n".join([f"#{self.number} {self.incoming.subject}", desk_text(self.incoming.description), *found])

    def is_right(self, source: str) -> bool:
        return self.incoming.family is not None and self.incoming.family in self.families.get(source, ())


def chosen(number: int, seed: int) -> list[Incoming]:
    """Return at most `number` tickets not for tuning; kinds and languages alternate."""
    chance = random.Random(seed)  # noqa: S311 -- the same ones each time
    some = [one for one in queries() if not one.is_for_tuning]
    chance.shuffle(some)
    kinds = {kind: [one for one in some if one.kind == kind] for kind in sorted({one.kind for one in some})}
    turns = [_in_turn(of_kind, lambda one: one.language) for of_kind in kinds.values()]
    return _in_turn([one for turn in turns for one in turn], lambda one: one.kind)[:number]


def _in_turn(some: Sequence[Incoming], of: Callable[[Incoming], str]) -> list[Incoming]:
    before: Counter[str] = Counter()
    places = []
    for one in some:
        places.append((before[of(one)], of(one)))
        before[of(one)] += 1
    return [some[at] for at in sorted(range(len(some)), key=lambda at: places[at])]


def evaluated(folder: Path, incoming: Sequence[Incoming]) -> list[EvaluatedTicket]:
    with CopiesInPostgres(folder, tickets(), articles()) as copies:
        found = copies.found(incoming)
    return [with_finds(one, *found[one.id]) for one in incoming]


def with_finds(incoming: Incoming, found: Sequence[SimilarTicket], documents: Sequence[Document]) -> EvaluatedTicket:
    """Return a ticket with these finds; numbers replace ids, which reveal the family."""
    numbers = {one.id: number for number, one in earlier_by_number().items()}
    known = [replace(one, ticket_id=numbers[one.ticket_id]) for one in found]
    families: dict[str, Sequence[str]] = {one.ticket_id: [earlier_by_number()[one.ticket_id].family] for one in known}
    titles = {one.title for one in documents}
    families |= {article.title: article.families for article in articles() if article.title in titles}
    return EvaluatedTicket(incoming, _number(incoming.id), known, documents, families)


@cache
def earlier_by_number() -> Mapping[str, Resolved]:
    """Return the earlier tickets by number; their ids reveal the family."""
    in_no_order = sorted(tickets(), key=lambda one: sha256(one.id.encode()).digest())
    return {str(_FIRST_NUMBER + at): one for at, one in enumerate(in_no_order)}


def _number(name: str) -> str:
    return str(52_000 + int.from_bytes(sha256(name.encode()).digest()[:2]) % 40_000)
