"""The prompt for a model: instructions and a case, within a budget of bytes.

A case is the ticket, its conversation and the found sources. Texts are redacted. In a case over the budget, the
description gets at most half of it, the newest messages a quarter, and the strongest sources the rest. Source ids are
derived from the content (ticket-103, doc-3f2a81), not from the order: a later attempt may find another order, and a
repaired answer must still name its sources.

The budget counts UTF-8 bytes of the case's JSON. Each token of a byte-level vocabulary, such as GPT's, has at least
one byte, so a case has at most as many tokens as bytes.
"""

import hashlib
import json
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import Any

from integrations.values import DeskTicket, Prompt
from knowledge.models import Document, SimilarTicket

CURRENT = "4"  # a file in `prompts/`
VERSIONS = Path(__file__).with_name("prompts")
# Language names by code, as in `servicedesk.languages`. Other languages appear as their code.
_LANGUAGES = {
    "en": "English",
    "de": "German",
    "fr": "French",
    "es": "Spanish",
    "it": "Italian",
    "nl": "Dutch",
    "pt": "Portuguese",
}
_KINDS = ("priority", "category", "subcategory", "item", "service", "group", "site", "assets")
# The model may suggest a value for these: an empty one tells it that the ticket has none.
_ALWAYS = ("priority", "category", "group")
_HOUSE = "The desk itself asks for this as well, as far as it does not contradict the above:"

Mask = Callable[..., str]
"""`Redaction.redact`."""
_MAX_DESCRIPTION_LENGTH = 6000
_MAX_PASSAGE_LENGTH = 2000
_MAX_PROBLEM_LENGTH = 400
_MAX_MESSAGE_LENGTH = 1000
_MAX_NAME_LENGTH = 300
_MAX_KIND_LENGTH = 100
# The longest personal value: an IBAN with blanks, a token, an address.
_MAX_VALUE_LENGTH = 200
# A half, a quarter, a sixteenth, and a thirty-second for each other field of the ticket; the sources get the rest.
_FOR_DESCRIPTION, _FOR_CONVERSATION, _FOR_SUBJECT, _FOR_FIELD = 2, 4, 16, 32
_COMMA_BYTES = 2


@dataclass(frozen=True, slots=True)
class FoundSource:
    """A found ticket or document as the model gets it: texts are redacted."""

    id: str
    found: SimilarTicket | Document
    title: str
    text: str
    is_whole: bool = True
    """False if the model gets only the beginning of the text."""
    category: str = ""
    group: str = ""
    priority: str = ""
    problem: str = ""
    """The beginning of an earlier ticket's description."""

    @property
    def as_found(self) -> tuple[str, ...]:
        """Title and texts as in the search result."""
        return (*_texts_of(self.found), "" if isinstance(self.found, Document) else self.found.problem)

    def as_json(self) -> dict[str, Any]:
        if isinstance(self.found, Document):
            return {"id": self.id, "kind": "document", "title": self.title, "text": self.text}
        created = self.found.created_at.date().isoformat() if self.found.created_at else ""
        fields = {"id": self.id, "kind": "ticket", "ticket_id": self.found.shown, "subject": self.title}
        fields |= {"created": created, "category": self.category, "group": self.group, "priority": self.priority}
        fields |= {"problem": self.problem, "resolution": self.text}
        return {name: value for name, value in fields.items() if value}


@dataclass(frozen=True, slots=True)
class PromptContext:
    """The model's view of a ticket."""

    ticket: dict[str, str]
    conversation: Sequence[str]
    sources: Sequence[FoundSource]
    today: str = ""
    """ISO 8601."""

    def as_document(self) -> dict[str, Any]:
        sources = [source.as_json() for source in self.sources]
        case = {"ticket": self.ticket, "conversation": list(self.conversation), "sources": sources}
        return {"today": self.today, **case}

    def as_json(self) -> str:
        return json.dumps(self.as_document(), ensure_ascii=False)


def case_of(
    ticket: DeskTicket,
    conversation: Sequence[str],
    similar_tickets: Iterable[SimilarTicket],
    documents: Iterable[Document],
    mask: Mask,
    budget: int,
) -> PromptContext:
    """Return the case within `budget` bytes, 4000 or more.

    The caller needs the same `mask` to restore the answer. Texts are redacted before they are cut, because a cut number
    would not be detected.
    """
    kinds = {name: _begin(getattr(ticket, name), _MAX_NAME_LENGTH, mask)[0] for name in _KINDS}
    ticket_fields = {
        "id": ticket.shown,
        "subject": _begin(ticket.subject, _MAX_NAME_LENGTH, mask)[0],
        "description": _begin(ticket.description, _MAX_DESCRIPTION_LENGTH, mask)[0],
        "created": ticket.created_at.date().isoformat() if ticket.created_at else "",
        **{name: value for name, value in kinds.items() if value or name in _ALWAYS},
    }
    messages = [_begin(each, _MAX_MESSAGE_LENGTH, mask)[0] for each in conversation]
    # Most sources have the same few categories and groups.
    masked = partial(mask, own=False)
    mask_kind = cache(lambda kind: masked(kind[:_MAX_KIND_LENGTH]))
    results: list[SimilarTicket | Document] = [*similar_tickets, *documents]
    sources = {source.id: source for source in (_source(each, masked, mask_kind) for each in results)}
    today = datetime.now(UTC).date().isoformat()
    case = PromptContext(ticket_fields, messages, list(sources.values()), today)
    return case if _size(case.as_document()) <= budget else _within(case, budget)


def _texts_of(found: SimilarTicket | Document) -> tuple[str, str]:
    return (found.title, found.text) if isinstance(found, Document) else (found.subject, found.resolution)


def _source(found: SimilarTicket | Document, mask: Mask, mask_kind: Callable[[str], str]) -> FoundSource:
    title, text = _texts_of(found)
    title = _begin(title, _MAX_NAME_LENGTH, mask)[0]
    text, is_whole = _begin(text, _MAX_PASSAGE_LENGTH, mask)
    if isinstance(found, Document):
        return FoundSource(source_id(found), found, title, text, is_whole)
    category, group, priority = map(mask_kind, (found.category, found.group, found.priority))
    problem = _begin(found.problem, _MAX_PROBLEM_LENGTH, mask)[0]
    return FoundSource(source_id(found), found, title, text, is_whole, category, group, priority, problem)


def source_id(found: SimilarTicket | Document) -> str:
    if isinstance(found, SimilarTicket):
        return f"ticket-{found.shown}"
    digest = hashlib.sha256(f"{found.title}\n{found.text}".encode(errors="replace")).hexdigest()
    return f"doc-{digest[:6]}"


def _begin(text: str, most: int, mask: Mask) -> tuple[str, bool]:
    if len(text) <= most:
        return mask(text), True
    # Cut again after redaction, to drop the end: a value that the first cut split was not detected there.
    masked = mask(text[: most + _MAX_VALUE_LENGTH])
    begin = masked[: min(most, max(1, len(masked) - _MAX_VALUE_LENGTH))]
    return (begin.rpartition(" ")[0] or begin) + " …", False


def _within(case: PromptContext, budget: int) -> PromptContext:
    parts = {"description": _FOR_DESCRIPTION, "subject": _FOR_SUBJECT}
    ticket = {name: _begin_of(value, budget // parts.get(name, _FOR_FIELD)) for name, value in case.ticket.items()}
    remaining = budget - _size(replace(case, ticket=ticket, conversation=[], sources=[]).as_document())
    messages: list[str] = []
    message_budget = min(remaining, budget // _FOR_CONVERSATION)
    for message in reversed(case.conversation):
        size = _size(message) + _COMMA_BYTES
        if size > message_budget:
            break
        messages.insert(0, message)
        message_budget, remaining = message_budget - size, remaining - size
    kept: dict[str, FoundSource] = {}
    for source in sorted(case.sources, key=lambda each: -each.found.strength):
        frame = _size({**source.as_json(), "text": "", "resolution": ""}) + _COMMA_BYTES
        text = _begin_of(source.text, remaining - frame)
        if not text:
            continue
        kept[source.id] = replace(source, text=text, is_whole=source.is_whole and text == source.text)
        remaining -= frame + _size(text)
    sources = [kept[source.id] for source in case.sources if source.id in kept]
    return replace(case, ticket=ticket, conversation=messages, sources=sources)


def _size(value: object) -> int:
    """Return the bytes of a value's JSON."""
    return len(json.dumps(value, ensure_ascii=False).encode(errors="surrogatepass"))


def _begin_of(text: str, most: int) -> str:
    """Return the text, or its beginning, with `most` bytes as JSON; empty if there is no room."""
    if _size(text) <= most:
        return text
    most -= len("…".encode())
    begin = text[: bisect_right(range(1, len(text)), most, key=lambda end: _size(text[:end]))]
    return (begin.rpartition(" ")[0] or begin) + "…" if begin else ""


def versions() -> list[str]:
    """Return all versions of the instructions, oldest first."""
    return sorted((path.stem for path in VERSIONS.glob("[0-9]*.txt")), key=lambda version: (len(version), version))


class Instructions:
    """One version of the instructions, with the tenant's rules.

    Raises FileNotFoundError for a version without a file.
    """

    def __init__(self, house_rules: str = "", version: str = CURRENT) -> None:
        self._text = (VERSIONS / f"{version}.txt").read_text(encoding="utf-8").strip()
        self._house_rules = house_rules.strip()
        added = hashlib.sha256(self._house_rules.encode()).hexdigest()[:8]
        self.version = f"{version}+{added}" if self._house_rules else version
        """The version in spans, feedback and records; it changes with the house rules."""

    def prompt(self, case: PromptContext | str, language: str = "") -> Prompt:
        """Return the prompt for a case, or for a case's JSON.

        An empty `language` requests the ticket's language.
        """
        sent = case if isinstance(case, str) else case.as_json()
        in_language = (
            f"Write in {_LANGUAGES.get(language, language)}." if language else "Write in the language of the ticket."
        )
        house = f"\n\n{_HOUSE}\n{self._house_rules}" if self._house_rules else ""
        return Prompt(f"{self._text}\n\n{in_language}{house}\n", sent)
