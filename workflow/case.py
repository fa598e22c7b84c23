"""The case for a model: ticket, conversation and finds, within a budget.

Texts are redacted. A small budget first cuts the least useful: the end of the ticket's text, then the weaker sources,
then the older conversation. Source ids are ours, derived from the content (ticket-103, doc-3f2a81): a later attempt may
find another order, and a repaired answer must still name its sources.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from integrations.values import DeskTicket, Document, SimilarTicket
from workflow import tokens

Mask = Callable[..., str]
"""`Redaction.redact`."""
_LONGEST_DESCRIPTION = 6000
_LONGEST_PASSAGE = 2000
_LONGEST_SAID = 1000
_LONGEST_NAME = 300
_LONGEST_KIND = 100
# The longest personal value: an IBAN with blanks, a token, an address.
_LONGEST_VALUE = 200
# Shares of the budget: the rest is for the finds.
_FOR_DESCRIPTION = 0.5
_FOR_CONVERSATION = 0.25
# The tokens of names, numbers and structure of an item.
_FRAME = 40


@dataclass(frozen=True, slots=True)
class FoundSource:
    """A find, as the model gets it: texts are redacted."""

    id: str
    found: SimilarTicket | Document
    title: str
    text: str
    is_whole: bool = True
    """False if the model gets the begin of the text alone."""
    category: str = ""
    group: str = ""

    def as_json(self) -> dict[str, Any]:
        if isinstance(self.found, Document):
            return {"id": self.id, "kind": "document", "title": self.title, "text": self.text}
        told = {"id": self.id, "kind": "ticket", "ticket_id": self.found.shown, "subject": self.title}
        told |= {"category": self.category, "group": self.group, "resolution": self.text}
        return {name: value for name, value in told.items() if value}


@dataclass(frozen=True, slots=True)
class TicketCase:
    """The model's view of a ticket."""

    ticket: dict[str, str]
    conversation: Sequence[str]
    """What was said in it, oldest first."""
    sources: Sequence[FoundSource]

    def as_json(self) -> str:
        sources = [source.as_json() for source in self.sources]
        document = {"ticket": self.ticket, "conversation": list(self.conversation), "sources": sources}
        return json.dumps(document, ensure_ascii=False)


def case_of(
    ticket: DeskTicket,
    conversation: Sequence[str],
    similar_tickets: Iterable[SimilarTicket],
    documents: Iterable[Document],
    mask: Mask,
    budget: int,
) -> TicketCase:
    """Return the case within `budget` tokens (`workflow.tokens`).

    The caller keeps `mask`, to restore the answer. Texts are redacted before they are cut: half a number would not be
    detected.
    """
    told = _ticket_told(ticket, mask)
    said = [_begin(each, _LONGEST_SAID, mask)[0] for each in conversation]
    found: list[SimilarTicket | Document] = [*similar_tickets, *documents]
    masked = partial(mask, own=False)
    sources = list({source.id: source for source in (_source(each, masked) for each in found)}.values())
    case = TicketCase(told, said, sources)
    return case if tokens.fits(case.as_json(), budget) else _within(case, budget)


def _ticket_told(ticket: DeskTicket, mask: Mask) -> dict[str, str]:
    return {
        "id": ticket.shown,
        "subject": _begin(ticket.subject, _LONGEST_NAME, mask)[0],
        "description": _begin(ticket.description, _LONGEST_DESCRIPTION, mask)[0],
        "priority": mask(ticket.priority[:_LONGEST_KIND]),
        "category": mask(ticket.category[:_LONGEST_KIND]),
        "group": mask(ticket.group[:_LONGEST_KIND]),
    }


def _source(found: SimilarTicket | Document, mask: Mask) -> FoundSource:
    title = _begin(found.title if isinstance(found, Document) else found.subject, _LONGEST_NAME, mask)[0]
    text, is_whole = _begin(found.text if isinstance(found, Document) else found.resolution, _LONGEST_PASSAGE, mask)
    if isinstance(found, Document):
        digest = hashlib.sha256(f"{found.title}\n{found.text}".encode(errors="replace")).hexdigest()
        return FoundSource(f"doc-{digest[:6]}", found, title, text, is_whole)
    kinds = (mask(found.category[:_LONGEST_KIND]), mask(found.group[:_LONGEST_KIND]))
    return FoundSource(f"ticket-{found.shown}", found, title, text, is_whole, *kinds)


def _begin(text: str, most: int, mask: Mask) -> tuple[str, bool]:
    """Return the redacted start of a text, cut after a word; and whether it is whole."""
    if len(text) <= most:
        return mask(text), True
    # The end of a longer text may be half a value, and is dropped.
    masked = mask(text[: most + _LONGEST_VALUE])
    begin = masked[: min(most, max(1, len(masked) - _LONGEST_VALUE))]
    return (begin.rpartition(" ")[0] or begin) + " …", False


def _within(case: TicketCase, budget: int) -> TicketCase:
    ticket = dict(case.ticket)
    ticket["description"] = tokens.begin_of(ticket["description"], int(budget * _FOR_DESCRIPTION))
    left = budget - tokens.count(json.dumps(ticket, ensure_ascii=False)) - _FRAME
    said: list[str] = []
    for_said = min(left, int(budget * _FOR_CONVERSATION))
    for each in reversed(case.conversation):
        taken = tokens.count(each) + 4
        if taken > for_said:
            break
        said.insert(0, each)
        for_said, left = for_said - taken, left - taken
    kept: dict[str, FoundSource] = {}
    for source in sorted(case.sources, key=lambda each: -each.found.strength):
        frame = tokens.count(json.dumps({**source.as_json(), "text": "", "resolution": ""})) + _FRAME
        text = tokens.begin_of(source.text, left - frame)
        if not text:
            continue
        kept[source.id] = replace(source, text=text, is_whole=source.is_whole and text == source.text)
        left -= frame + tokens.count(text)
    return TicketCase(ticket, said, [kept[source.id] for source in case.sources if source.id in kept])
