"""The enhancement: what GPT-4 is asked for, and the note that it becomes in the ticket."""

import html
import re
from collections.abc import Mapping
from datetime import date
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, field_validator

from workflow.defanging import without_links

_TITLE = "Enhancement"
_NOTHING_FOUND = "No earlier ticket and no document like it was found: this is general advice."
_LONGEST_TEXT = 1500
_LONGEST_MODEL = 80
_MOST_ITEMS = 8
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")


def _cut(text: str) -> str:
    clean = _UNPRINTABLE.sub("", text).strip()
    return clean if len(clean) <= _LONGEST_TEXT else clean[: _LONGEST_TEXT - 1] + "…"


class _StrictTexts(BaseModel):
    # Strict structured output takes no schema with length limits in it: what is too long is cut here instead.
    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*", mode="after")
    @classmethod
    def _within_bounds(cls, value: object) -> object:
        if isinstance(value, str):
            return _cut(value)
        if isinstance(value, list):
            return [_cut(item) if isinstance(item, str) else item for item in value[:_MOST_ITEMS]]
        return value


class RelatedTicket(_StrictTexts):
    """An earlier ticket that the answer builds on; `ticket_id` is the number that people see."""

    ticket_id: str
    relevance: str


class RelatedDocument(_StrictTexts):
    """A document of the knowledge base that the answer builds on."""

    title: str
    relevance: str


class Enhancement(_StrictTexts):
    """GPT-4's answer: plain texts, no markup."""

    summary: str
    likely_cause: str
    next_steps: list[str]
    similar_tickets: list[RelatedTicket]
    documents: list[RelatedDocument]

    @field_validator("summary")
    @classmethod
    def _says_something(cls, summary: str) -> str:
        if not summary.strip():
            raise ValueError("the summary is empty")
        return summary


class KnownTicket(NamedTuple):
    """What a note tells of an earlier ticket beside its number; `link` is where people open it, empty if not known."""

    subject: str
    created_on: date | None
    link: str


def marker(job_id: object) -> str:
    """Return the visible text that tells whose note this is; desks strip comments."""
    return f"Ref {job_id}"


def is_note_of(job_id: object, text: str) -> bool:
    """Return True if a note's plain text is what `to_html` wrote for the job: all of it, and not a person's quote."""
    return text.startswith(f"{_TITLE} (written by ") and text.endswith(marker(job_id))


def to_html(
    enhancement: Enhancement,
    job_id: object,
    model: str,
    *,
    nothing_found: bool = False,
    known: Mapping[str, KnownTicket] | None = None,
    feedback_link: str = "",
) -> str:
    """Return the note, which names the `model` that answered; one without a name is "a language model".

    What may help stands first, what is known beside it, and last what the ticket is about. `nothing_found`: the model
    knew nothing of this desk but the ticket, and the note says so. `known` tells of earlier tickets by their numbers.
    `feedback_link` leads to where people say whether the note was useful.
    Each text is escaped: nothing that the model or a desk wrote becomes markup.
    """
    author = _UNPRINTABLE.sub("", " ".join(model.split()))[:_LONGEST_MODEL].strip() or "a language model"
    parts = [f"<b>{_TITLE}</b> (written by {_escaped(author)}; please check before acting on it)"]
    if nothing_found:
        parts.append(f"<p>{_NOTHING_FOUND}</p>")
    if enhancement.likely_cause:
        parts.append(f"<p><b>Likely cause:</b> {_escaped(enhancement.likely_cause)}</p>")
    steps = [_escaped(step) for step in enhancement.next_steps]
    tickets = [_earlier(ticket, (known or {}).get(ticket.ticket_id)) for ticket in enhancement.similar_tickets]
    documents = [
        f"{_escaped(without_links(document.title))}: {_escaped(document.relevance)}"
        for document in enhancement.documents
    ]
    parts += _list("Next steps", "ol", steps)
    parts += _list("Similar tickets", "ul", tickets)
    parts += _list("Documents", "ul", documents)
    parts.append(f"<p><b>In short:</b> {_escaped(enhancement.summary)}</p>")
    if feedback_link:
        parts.append(f'<p><a href="{_escaped(feedback_link)}">Was this useful?</a></p>')
    parts.append(f"<p>{marker(job_id)}</p>")
    return "<div>" + "".join(parts) + "</div>"


def _list(heading: str, kind: str, items: list[str]) -> list[str]:
    listed = "".join(f"<li>{item}</li>" for item in items)
    return [f"<p><b>{heading}</b></p><{kind}>{listed}</{kind}>"] if items else []


def _earlier(ticket: RelatedTicket, known: KnownTicket | None) -> str:
    number = f"#{_escaped(ticket.ticket_id)}"
    if known is None:
        return f"{number}: {_escaped(ticket.relevance)}"
    if known.link.startswith(("https://", "http://")):
        number = f'<a href="{_escaped(known.link)}">{number}</a>'
    on = "" if known.created_on is None else f" ({known.created_on.isoformat()})"
    return f"{number} {_escaped(_cut(without_links(known.subject)))}{on}: {_escaped(ticket.relevance)}"


def _escaped(text: str) -> str:
    return html.escape(text, quote=True).replace("\n", "<br>")
