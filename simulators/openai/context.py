"""The context a client gave: the last user message that holds a JSON document with a ticket."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
_MAX_STARTS = 200


@dataclass(frozen=True, slots=True)
class Context:
    """A ticket, and the similar tickets and documents that came with it, each as it was given."""

    ticket: Json
    similar_tickets: tuple[Json, ...]
    documents: tuple[Json, ...]

    @property
    def ticket_id(self) -> str | None:
        """The ticket's id as text, or None."""
        value = self.ticket.get("id")
        return str(value) if value is not None else None

    @property
    def subject(self) -> str:
        """The ticket's subject; never empty."""
        return str(self.ticket.get("subject") or "the reported problem")

    @property
    def words(self) -> str:
        """Everything the ticket says about the problem."""
        return f"{self.subject} {self.ticket.get('description') or ''} {self.ticket.get('category') or ''}"


def message_text(message: Any) -> str:
    """Return the text of a chat message, whose content is a string or an array of parts."""
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return ""


def _objects(value: Any) -> tuple[Json, ...]:
    return tuple(item for item in value if isinstance(item, dict)) if isinstance(value, list) else ()


def _document_in(text: str) -> Json | None:
    """Return the first JSON object with a `ticket` in a text that may have prose around it."""
    decoder = json.JSONDecoder()
    start = text.find("{")
    for _ in range(_MAX_STARTS):
        if start < 0:
            return None
        try:
            document, _end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            document = None
        if isinstance(document, dict) and isinstance(document.get("ticket"), dict):
            return document
        start = text.find("{", start + 1)
    return None


def find_context(messages: Sequence[Any]) -> Context | None:
    """Return the context in the last user message that has one, or None."""
    for message in reversed(messages):
        if not isinstance(message, dict) or message.get("role") != "user":
            continue
        document = _document_in(message_text(message))
        if document is not None:
            sources = _objects(document.get("sources"))
            similar = tuple(source for source in sources if source.get("kind") == "ticket")
            documents = tuple(source for source in sources if source.get("kind") == "document")
            return Context(document["ticket"], similar, documents)
    return None
