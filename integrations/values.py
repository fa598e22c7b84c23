"""Values of any desk and model, and JSON that can be stored."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any, Generic, NamedTuple, TypeVar

from pydantic import BaseModel

Item = TypeVar("Item")
Structured = TypeVar("Structured", bound=BaseModel)


class Person(NamedTuple):
    """A person of a ticket."""

    name: str = ""
    addresses: tuple[str, ...] = ()  # of mail
    numbers: tuple[str, ...] = ()  # of telephones
    others: tuple[str, ...] = ()  # login names and employee numbers


@dataclass(frozen=True, slots=True)
class DeskTicket:
    """A ticket of the desk; texts are plain lines, without HTML and mail wrapping.

    `requester`: the mail address, for `privacy.tombstones`, never for a prompt, a line or a span. `display_id`: the
    number that people see, if it is not the id. Times are by the desk's clock. `people`: the requester first.
    `conversation`: mails were sent; None if unknown. `closing_comment` may be the desk's own words. `assets`: names of
    assets and configuration items. `terms`: names of categories, groups, services and assets.
    """

    ticket_id: str
    subject: str
    description: str
    priority: str
    category: str
    status: str
    resolution: str
    requester: str = field(default="", repr=False)
    display_id: str = ""
    group: str = ""
    site: str = ""
    template: str = ""
    subcategory: str = ""
    item: str = ""
    service: str = ""
    assets: str = ""
    closing_comment: str = ""
    created_at: datetime | None = None
    changed_at: datetime | None = None
    closed: bool = False
    closed_at: datetime | None = None
    people: tuple[Person, ...] = field(default=(), repr=False)
    conversation: bool | None = None
    has_notes: bool = False
    terms: tuple[str, ...] = field(default=(), repr=False)

    @property
    def outcome(self) -> str:
        """The resolution and the closing comment, without repetition."""
        return "\n".join(dict.fromkeys(filter(None, (self.resolution, self.closing_comment))))

    @property
    def kinds(self) -> dict[str, str]:
        """Kind -> name, of the kinds that rules may exclude."""
        return {"category": self.category, "group": self.group, "site": self.site, "template": self.template}

    @property
    def seconds_to_closing(self) -> float | None:
        """Seconds from creation to closing; None if unknown or wrong."""
        if self.created_at is None or self.closed_at is None or self.closed_at < self.created_at:
            return None
        return (self.closed_at - self.created_at).total_seconds()

    @property
    def shown(self) -> str:
        """The number that people see."""
        return self.display_id or self.ticket_id


class ListedTicket(NamedTuple):
    """Ticket in a list. `kinds`: category, group, site and template, if present."""

    ticket_id: str
    status: str
    is_trashed: bool = False
    display_id: str = ""
    kinds: Mapping[str, str] = MappingProxyType({})
    subject: str = ""
    created_at: datetime | None = None
    changed_at: datetime | None = None


class ListedSolution(NamedTuple):
    """A solution in a list; `text` is HTML, and None if the list does not have it."""

    solution_id: str
    title: str = ""
    topic: str = ""
    changed_at: datetime | None = None
    text: str | None = None
    expires_at: datetime | None = None


class ListPage(NamedTuple, Generic[Item]):
    """A page of one of the desk's lists."""

    items: Sequence[Item]
    has_more: bool


@dataclass(frozen=True, slots=True)
class Solution:
    """An article of the desk's knowledge base, as plain text."""

    solution_id: str
    title: str
    text: str
    topic: str = ""
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Prompt:
    """A model prompt: the house rules and the case."""

    system: str
    user: str


@dataclass(frozen=True, slots=True)
class Usage:
    """Paid tokens (0 if unreported), and dollars if reported.

    `model` is the requested one; empty if it is the only one. `estimated`: the stream broke.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cost: float | None = None
    model: str = ""
    estimated: bool = False

    def plus(self, other: "Usage") -> "Usage":
        """Return the sum; unreported costs count as 0 if one is reported."""
        cost = None if self.cost is None and other.cost is None else (self.cost or 0) + (other.cost or 0)
        tokens = (self.input_tokens + other.input_tokens, self.output_tokens + other.output_tokens)
        return Usage(*tokens, cost, self.model, self.estimated or other.estimated)


UNPAID = Usage()


@dataclass(frozen=True, slots=True)
class Unanswered:
    """Question without a usable answer; `host` may have got it, `usage` was paid."""

    host: str
    model: str
    reason: str
    usage: Usage
    milliseconds: int


@dataclass(frozen=True, slots=True)
class ModelAnswer(Generic[Structured]):
    """A usable answer of `host`. `usage` includes every paid call for it.

    `first_milliseconds`: until the first content of the last call; 0 if not streamed.
    """

    content: Structured
    status: int
    model: str
    response_id: str
    finish_reason: str
    usage: Usage
    milliseconds: int
    first_milliseconds: int = 0
    host: str = ""


def is_number(text: str) -> bool:
    """Return True for a ticket number: 1 to 20 digits."""
    return _NUMBER.fullmatch(text) is not None


_NUMBER = re.compile("[0-9]{1,20}")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_DEEPEST = 100


def storable(text: str) -> str:
    """Return the text without NUL and lone surrogates, which no database takes."""
    return _UNSTORABLE.sub("", text)


def load_json(content: str | bytes) -> Any:
    """Return a JSON value with storable texts. Raises ValueError.

    Nesting over 100 deep raises it, too: the json module's limit differs between Python versions.
    """
    try:
        return _all_storable(json.loads(content), _DEEPEST)
    except RecursionError:
        raise ValueError("nested too deep") from None


def _all_storable(value: Any, deepest: int) -> Any:
    if isinstance(value, str):
        return storable(value)
    if not isinstance(value, list | dict):
        return value
    if deepest == 0:
        raise ValueError("nested too deep")
    if isinstance(value, list):
        return [_all_storable(item, deepest - 1) for item in value]
    return {storable(name): _all_storable(item, deepest - 1) for name, item in value.items()}
