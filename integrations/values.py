"""What the outside world gives and takes, as plain values: they cross the ports of `workflow`, whoever is behind them.

Nothing here knows a desk, a model or a search; whoever implements one fills these.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, TypeVar

from pydantic import BaseModel

from privacy.redaction.people import Person

Structured = TypeVar("Structured", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class DeskTicket:
    """A ticket as the desk has it; texts are plain lines, without HTML and what a mail program put around them."""

    ticket_id: str
    subject: str
    description: str
    priority: str
    category: str
    status: str
    resolution: str
    requester: str = field(default="", repr=False)
    """Whose ticket it is, as a mail address: for `storage.tombstones`, never for a prompt, a line or a span."""
    display_id: str = ""
    """The number that people see; empty where the desk has none beside the ticket's id."""
    group: str = ""
    site: str = ""
    template: str = ""
    created_at: datetime | None = None
    """As the next one by the desk's clock; None where it does not tell."""
    changed_at: datetime | None = None
    closed: bool = False
    people: tuple[Person, ...] = field(default=(), repr=False)
    """Whom the desk names for it, the requester first."""
    conversation: bool | None = None
    """True if mails were sent about it since, False if not; None where the desk does not tell."""
    has_notes: bool = False
    terms: tuple[str, ...] = field(default=(), repr=False)
    """The desk's own names of categories, groups, services and assets: no people."""

    @property
    def kinds(self) -> dict[str, str]:
        """What a tenant's rules may ask of it: kind -> name."""
        return {"category": self.category, "group": self.group, "site": self.site, "template": self.template}

    @property
    def shown(self) -> str:
        """What people know the ticket by."""
        return self.display_id or self.ticket_id


@dataclass(frozen=True, slots=True)
class SimilarTicket:
    """A resolved ticket that resembles the one at hand."""

    ticket_id: str
    subject: str
    resolution: str
    display_id: str = ""
    """The number that people see; empty where it is the id."""
    created_at: datetime | None = field(default=None, compare=False)
    """By the desk's clock, where it is known."""
    strength: float = field(default=0.0, compare=False)
    """How likely it is that it is about the same, between 0 and 1."""
    category: str = field(default="", compare=False)
    """As the next one in small letters; empty where the desk has not told."""
    group: str = field(default="", compare=False)
    people: tuple[Person, ...] = field(default=(), compare=False, repr=False)
    """Whom the desk names for it."""

    @property
    def shown(self) -> str:
        """What people, and so the model too, know the ticket by."""
        return self.display_id or self.ticket_id


@dataclass(frozen=True, slots=True)
class Document:
    """A passage of the knowledge base that may help."""

    title: str
    text: str
    strength: float = field(default=0.0, compare=False)
    """As for a similar ticket."""
    expires_at: datetime | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the model is asked: rules of the house, then the case at hand."""

    system: str
    user: str


@dataclass(frozen=True, slots=True)
class Usage:
    """What was paid for: tokens (0 where the endpoint did not tell), and dollars where it did.

    `model` is the one that was asked; empty where it is the only one. `estimated`: a stream broke off before it told.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cost: float | None = None
    model: str = ""
    estimated: bool = False

    def plus(self, other: "Usage") -> "Usage":
        """Return the sum of both."""
        cost = None if self.cost is None and other.cost is None else (self.cost or 0) + (other.cost or 0)
        return Usage(self.input_tokens + other.input_tokens, self.output_tokens + other.output_tokens, cost, self.model)


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A question that was sent, or may have been, and that no usable answer came to."""

    host: str
    """Where it was sent."""
    model: str
    """The one that was asked."""
    reason: str
    """In our own words."""
    usage: Usage
    """What was paid for all the same."""
    milliseconds: int


@dataclass(frozen=True, slots=True)
class Spent:
    """What a tenant's jobs have cost together."""

    tokens: int = 0
    dollars: float = 0.0

    def plus(self, other: "Spent") -> "Spent":
        """Return the sum of both."""
        return Spent(self.tokens + other.tokens, self.dollars + other.dollars)

    def at_least(self, other: "Spent") -> "Spent":
        """Return the larger of both, for tokens and for dollars."""
        return Spent(max(self.tokens, other.tokens), max(self.dollars, other.dollars))


@dataclass(frozen=True, slots=True)
class ModelAnswer(Generic[Structured]):
    """A usable answer. `usage` is that of every paid call for it."""

    content: Structured
    status: int
    model: str
    response_id: str
    finish_reason: str
    usage: Usage
    milliseconds: int
    first_milliseconds: int = 0
    """Until the first content of the last call came; 0 of an answer that came whole."""
    host: str = ""
    """Where it came from, a fallback's too."""
