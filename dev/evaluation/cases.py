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
        sources = [f"#{item.shown} {item.subject}\n{item.resolution}" for item in self.similar_tickets]
        sources += [f"{item.title}\n{item.text}" for item in self.documents]
        return "\n".join([f"#{self.number} {self.incoming.subject}", desk_text(self.incoming.description), *sources])

    def is_right(self, source: str) -> bool:
        return self.incoming.family is not None and self.incoming.family in self.families.get(source, ())


def chosen(number: int, seed: int) -> list[Incoming]:
    """Return at most `number` tickets not for tuning; kinds and languages alternate."""
    generator = random.Random(seed)  # noqa: S311 -- the same ones each time
    candidates = [query for query in queries() if not query.is_for_tuning]
    generator.shuffle(candidates)
    kinds = sorted({query.kind for query in candidates})
    groups = [[query for query in candidates if query.kind == kind] for kind in kinds]
    turns = [_in_turn(group, lambda query: query.language) for group in groups]
    return _in_turn([query for turn in turns for query in turn], lambda query: query.kind)[:number]


def _in_turn(incoming: Sequence[Incoming], key: Callable[[Incoming], str]) -> list[Incoming]:
    before: Counter[str] = Counter()
    places = []
    for query in incoming:
        places.append((before[key(query)], key(query)))
        before[key(query)] += 1
    return [incoming[at] for at in sorted(range(len(incoming)), key=lambda at: places[at])]


def evaluated(folder: Path, incoming: Sequence[Incoming]) -> list[EvaluatedTicket]:
    with CopiesInPostgres(folder, tickets(), articles()) as copies:
        finds = copies.search_all(incoming)
    return [with_finds(query, *finds[query.id]) for query in incoming]


def with_finds(incoming: Incoming, similar: Sequence[SimilarTicket], documents: Sequence[Document]) -> EvaluatedTicket:
    """Return a ticket with these finds; numbers replace ids, which reveal the family."""
    earlier = earlier_by_number()
    numbers = {ticket.id: number for number, ticket in earlier.items()}
    numbered = [replace(item, ticket_id=numbers[item.ticket_id]) for item in similar]
    families: dict[str, Sequence[str]] = {item.ticket_id: [earlier[item.ticket_id].family] for item in numbered}
    titles = {item.title for item in documents}
    families |= {article.title: article.families for article in articles() if article.title in titles}
    return EvaluatedTicket(incoming, _number(incoming.id), numbered, documents, families)


@cache
def earlier_by_number() -> Mapping[str, Resolved]:
    """Return the earlier tickets by number; their ids reveal the family."""
    shuffled = sorted(tickets(), key=lambda ticket: sha256(ticket.id.encode()).digest())
    return {str(_FIRST_NUMBER + position): ticket for position, ticket in enumerate(shuffled)}


def _number(name: str) -> str:
    return str(52_000 + int.from_bytes(sha256(name.encode()).digest()[:2]) % 40_000)
