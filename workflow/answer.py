"""The answer requested from a model, and the content of the note made from it."""

import re
from datetime import date, datetime
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, field_validator

_MAX_TEXT_LENGTH = 1500
_MAX_ITEMS = 8
_WORD = re.compile(r"(?:yes|no)(?!\w)|part\w*")
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")


def printable(text: str) -> str:
    return _UNPRINTABLE.sub("", text)


def cut(text: str, most: int) -> str:
    """Return at most `most` characters of a text; a cut one ends in `…`."""
    return text if len(text) <= most else text[: most - 1] + "…"


class _StrictTexts(BaseModel):
    # Strict structured output allows no length limits in a schema: long texts are cut here instead.
    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*", mode="after")
    @classmethod
    def _within_bounds(cls, value: object) -> object:
        if isinstance(value, str):
            return _bounded(value)
        if isinstance(value, list):
            return [_bounded(item) if isinstance(item, str) else item for item in value[:_MAX_ITEMS]]
        return value


def _bounded(text: str) -> str:
    return cut(printable(text).strip(), _MAX_TEXT_LENGTH)


def _first_word(value: object) -> object:
    """Return a leading rating in lower case: without a schema, models write `Yes.`."""
    found = _WORD.match(value.strip().casefold()) if isinstance(value, str) else None
    return value if found is None else "partly" if found[0].startswith("part") else found[0]


Confidence = Literal["high", "medium", "low"]
SameProblem = Annotated[Literal["yes", "partly", "no"], BeforeValidator(_first_word)]


# The docstrings and the order of the fields are part of the schema that the model gets.
class CitedSource(_StrictTexts):
    """A source: the words that decide, copied from it, and whether it has the ticket's problem."""

    id: str
    quote: str
    same_problem: SameProblem


class Statement(_StrictTexts):
    """A claim, its sources' ids, and the words of the first that support it; both empty for general knowledge."""

    text: str
    sources: list[str]
    quote: str


class Enhancement(_StrictTexts):
    """The answer: plain texts, no markup."""

    sources: list[CitedSource]
    summary: str
    likely_cause: Statement
    next_steps: list[Statement]
    questions: list[str]
    category: str
    priority: str
    group: str


class _StoredModel(BaseModel):
    # Workers of the next release may store more fields, which this one ignores.
    model_config = ConfigDict(extra="ignore", frozen=True)


class NoteText(_StoredModel):
    """A statement of a note, and the ids of its sources: none for general knowledge."""

    text: str
    sources: list[str] = []
    quote: str = ""
    """The words of the first source that support it, or empty."""


class NoteSource(_StoredModel):
    """A source in a note: an earlier ticket, or a document passage."""

    id: str
    kind: Literal["ticket", "document"]
    number: str = ""
    """The ticket's display number."""
    title: str = ""
    """The ticket's subject, or the document's title."""
    day: date | None = None
    """The ticket's creation date, if known."""
    link: str = ""
    """The ticket's browser URL; empty if unknown."""
    quote: str = ""
    """Its most important words, if they are in it letter for letter."""
    gives: str = ""
    """The model's description of the source; in answers of earlier releases only."""
    expires_at: datetime | None = None
    """The document's expiry. A note posted later does not cite it."""


class Suggested(_StoredModel):
    """The model's suggestion for a field of the ticket."""

    field: Literal["category", "priority", "group"]
    value: str


class Content(_StoredModel):
    """A note's content in plain texts, safe for technicians; stored in the job."""

    prompt: str = ""
    """The version of the prompt."""
    subject: str = ""
    """The ticket's subject, for lists of jobs."""
    language: str = "en"
    """The language of the note's own words (ISO 639-1)."""
    summary: str = ""
    """Empty for a short ticket."""
    likely_cause: NoteText = NoteText(text="")
    next_steps: list[NoteText] = []
    sources: list[NoteSource] = []
    confidence: Confidence | None = None
    questions: list[str] = []
    suggestions: list[Suggested] = []
    nothing_found: bool = False
    """True if all searches ran to their end and found nothing."""
    is_thin: bool = False
    """True if the ticket says too little for a cause."""
    is_unchecked: bool = False
    """True if the claims needed a check (`workflow.claim_check`) and got none."""
    removed: int = 0
    """The number of claims that the check removed: their sources do not support them."""
    left_out: int = 0
    """The number of sources that the model cited but did not get, or that have expired."""
