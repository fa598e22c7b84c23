"""The content of a note, safe for technicians; stored in the job's row."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

Confidence = Literal["high", "medium", "low"]


class _KeptPart(BaseModel):
    # Workers of the next release may store more fields, which this one ignores.
    model_config = ConfigDict(extra="ignore", frozen=True)


class NotedText(_KeptPart):
    """A statement of a note, and the ids of its sources: none for general knowledge."""

    text: str
    sources: list[str] = []


class NotedSource(_KeptPart):
    """A source in a note: an earlier ticket by its `number`, or a document passage."""

    id: str
    kind: Literal["ticket", "document"]
    number: str = ""
    """What people know the ticket by."""
    title: str = ""
    """The ticket's subject, or the document's title."""
    day: date | None = None
    """When the ticket came, where that is known."""
    link: str = ""
    """Where people open the ticket; empty where that is not known."""
    gives: str = ""
    expires_at: datetime | None = None
    """When a document expires: no note cites it from then on."""


class Suggested(_KeptPart):
    """The model's suggestion for a field of the ticket."""

    field: Literal["category", "priority", "group"]
    value: str
    strength: Literal["strong", "weak"]


class Content(_KeptPart):
    """The whole content of a note, in plain texts."""

    prompt: str = ""
    """The version of the prompt that it answers."""
    language: str = "en"
    """As ISO 639-1 has it: the one that the note's own words are in."""
    summary: str
    likely_cause: NotedText = NotedText(text="")
    next_steps: list[NotedText] = []
    sources: list[NotedSource] = []
    confidence: Confidence | None = None
    questions: list[str] = []
    suggestions: list[Suggested] = []
    nothing_found: bool = False
    """True if all was searched, and neither ticket nor document was like the ticket."""
    left_out: int = 0
    """How many sources the answer named that were not found for its ticket."""


def content_of(kept: Mapping[str, Any]) -> Content:
    """Return stored content of this or the previous release. Raises ValidationError."""
    if "similar_tickets" not in kept:
        return Content.model_validate(kept)
    tickets = [
        NotedSource(id=f"S{n}", kind="ticket", number=each["ticket_id"], gives=each["relevance"])
        for n, each in enumerate(kept["similar_tickets"], 1)
    ]
    documents = [
        NotedSource(id=f"S{n}", kind="document", title=each["title"], gives=each["relevance"])
        for n, each in enumerate(kept["documents"], len(tickets) + 1)
    ]
    return Content(
        summary=kept["summary"],
        likely_cause=NotedText(text=kept["likely_cause"]),
        next_steps=[NotedText(text=step) for step in kept["next_steps"]],
        sources=tickets + documents,
    )
