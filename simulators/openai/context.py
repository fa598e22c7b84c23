"""The client's context: the last user message that holds a JSON document with a ticket."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
_MAX_STARTS = 200


@dataclass(frozen=True, slots=True)
class Context:
    """A ticket with its similar tickets and documents, unmodified."""

    ticket: Json
    similar_tickets: tuple[Json, ...]
    documents: tuple[Json, ...]

    @property
    def ticket_id(self) -> str | None:
        value = self.ticket.get("id")
        return str(value) if value is not None else None

    @property
    def subject(self) -> str:
        return str(self.ticket.get("subject") or "the reported problem")

    @property
    def words(self) -> str:
        return f"{self.subject} {self.ticket.get('description') or ''} {self.ticket.get('category') or ''}"


def message_text(message: Any) -> str:
    """Return a chat message's text; its content is a string or an array of parts."""
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return ""


def _objects(value: Any) -> tuple[Json, ...]:
    return tuple(item for item in value if isinstance(item, dict)) if isinstance(value, list) else ()


def _document_in(text: str) -> Json | None:
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
    """Return the context from the last user message that has one, or None."""
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
