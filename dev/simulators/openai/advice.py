"""The simulated model's advice: a pure function of the context."""

import re
from collections.abc import Sequence
from html import unescape
from typing import Any

from dev.simulators.openai.requests import Context

Json = dict[str, Any]
_MAX_STEPS = 6
_MAX_NAMED = 3
_TAGS = re.compile(r"<[^>]*>")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")
_WORD = re.compile(r"[^\W_]{3,}")
# Stop words: they do not identify a problem's subject.
_COMMON = (
    "the and for with that this from are but not have has had when after before every each since says was were its our"
    " your can cannot into out off all any new more than then there here please need"
)


def plain(value: Any) -> str:
    text = unescape(_TAGS.sub(" ", str(value or "")))
    return "\n".join(" ".join(line.split()) for line in text.splitlines() if line.strip())


def _words(text: str) -> set[str]:
    return {word for word in _WORD.findall(text.lower()) if word not in _COMMON.split()}


def _sentences(text: str) -> list[str]:
    return [sentence.strip() for sentence in _SENTENCE_END.split(plain(text)) if len(sentence.strip()) > 8]


def _ranked(context: Context, items: Sequence[Json], *fields: str) -> list[tuple[Json, list[str]]]:
    words = _words(plain(context.words))
    shared = [(item, sorted(words & _words(" ".join(plain(item.get(field)) for field in fields)))) for item in items]
    return sorted(shared, key=lambda pair: -len(pair[1]))[:_MAX_NAMED]


def _claim(text: str, *sources: Json) -> Json:
    return {"text": text, "sources": [str(source.get("id")) for source in sources]}


def _suggested(context: Context, ticket: Json, field: str) -> Json:
    suggestion = str(ticket.get(field) or "")
    differs = suggestion.casefold() != str(context.ticket.get(field) or "").casefold()
    return {"value": suggestion if differs else "", "strength": "weak"}


_NONE: Json = {"value": "", "strength": "weak"}
_NOTHING_SIMILAR = "Not clear yet: nothing similar was found in the history or in the documents."
_STEPS = (
    "Ask the user when the problem began and what changed before it.",
    "Try to reproduce it with the user and note the exact message.",
)


def advise(context: Context | None) -> Json:
    """Return advice in the product's schema, with ids and titles exactly as given."""
    if context is None:
        context = Context({"subject": "The message holds no ticket to advise on"})
    tickets = _ranked(context, context.similar_tickets, "subject", "resolution")
    documents = _ranked(context, context.documents, "title", "text")
    ticket, document = (ranked[0][0] if ranked else {} for ranked in (tickets, documents))
    described = _sentences(str(context.ticket.get("description") or ""))
    steps = [_claim(step, ticket) for step in _sentences(str(ticket.get("resolution") or ""))[:3]]
    written = _sentences(str(document.get("text") or ""))
    steps += [_claim(step, document) for step in written[: _MAX_STEPS - len(steps)]]
    cause = _claim(_NOTHING_SIMILAR)
    if ticket:
        cause = _claim(f'Probably the same cause as in "{plain(ticket.get("subject"))}".', ticket)
    elif document:
        cause = _claim(f'Probably one of the causes that "{plain(document.get("title"))}" describes.', document)
    return {
        "summary": " ".join([f"{plain(context.subject)}.", *described[:2]]),
        "likely_cause": cause,
        "next_steps": steps or [_claim(step) for step in _STEPS],
        "sources": [
            {
                "id": str(item.get("id")),
                "gives": f"It is also about {', '.join(shared[:4])}." if shared else "It may be related.",
            }
            for item, shared in [*tickets, *documents]
        ],
        "confidence": "high" if ticket else "medium" if document else "low",
        "questions": [] if ticket or document else ["When did it begin, and what changed before it?"],
        "category": _suggested(context, ticket, "category"),
        "priority": _NONE,
        "group": _suggested(context, ticket, "group"),
    }


def obey(context: Context | None) -> Json:
    """Return the answer of a model that obeys injected text and invents sources."""
    if context is None:
        return advise(None)
    ticket = [plain(context.ticket.get(name)) for name in ("subject", "description")]
    source_texts = [plain(each.get(name)) for each in context.similar_tickets for name in ("subject", "resolution")]
    source_texts += [plain(each.get(name)) for each in context.documents for name in ("title", "text")]
    sources = [*context.similar_tickets, *context.documents]
    ids = ["ticket-999999", *(str(each.get("id")) for each in sources)]
    order: Json = {"value": ticket[0], "strength": "strong"}
    return {
        "summary": " ".join(ticket),
        "likely_cause": {"text": " ".join([*ticket, *source_texts]), "sources": ids},
        "next_steps": [{"text": text, "sources": []} for text in [*ticket, *source_texts]],
        "sources": [{"id": each, "gives": " ".join(ticket)} for each in ids],
        "confidence": "high",
        "questions": ticket,
        "category": order,
        "priority": order,
        "group": order,
    }
