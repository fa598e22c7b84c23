"""Results of the search for context."""

from dataclasses import dataclass, field
from datetime import datetime

from integrations.values import Person


@dataclass(frozen=True, slots=True)
class SimilarTicket:
    """A resolved, similar ticket.

    `strength`: the probability that it is about the same. `category` and `group` are in small letters, if known.
    """

    ticket_id: str
    subject: str
    resolution: str
    display_id: str = ""
    created_at: datetime | None = field(default=None, compare=False)
    strength: float = field(default=0.0, compare=False)
    category: str = field(default="", compare=False)
    group: str = field(default="", compare=False)
    people: tuple[Person, ...] = field(default=(), compare=False, repr=False)

    @property
    def shown(self) -> str:
        return self.display_id or self.ticket_id


@dataclass(frozen=True, slots=True)
class Document:
    """A passage of the knowledge base that may help; `strength` as of a similar ticket."""

    title: str
    text: str
    strength: float = field(default=0.0, compare=False)
    expires_at: datetime | None = field(default=None, compare=False)
