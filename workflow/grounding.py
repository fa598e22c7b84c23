"""Grounding of an answer: claims are kept only with sources of the case.

A claim may name sources by their ids. Unknown ids are removed; a claim without any other is visibly left out. Ticket
numbers in a text must be in the case. Placeholders are restored first, then links and commands are checked
(`workflow.defanging`): a value and the words around it may form one. Other specifics need a source
(`workflow.backing`).
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from config.tenant_settings import fold
from integrations.values import Document
from workflow.backing import Backing
from workflow.case import FoundSource, TicketCase
from workflow.content import Content, NotedSource, NotedText, Suggested
from workflow.defanging import Defanging, label, shown_of, without_links
from workflow.enhancement import Enhancement, Statement, Suggestion
from workflow.note_words import WORDS
from workflow.patterns import TICKETS
from workflow.texts import cut

_LONGEST = {"summary": 400, "cause": 400, "step": 500, "gives": 200, "question": 200, "title": 120, "value": 80}
_MOST_STEPS = 5
_MOST_QUESTIONS = 3
# Priorities of a new desk; a desk may have others, which an answer can name if the case has them.
_PRIORITIES = frozenset({"high", "medium", "normal", "low"})
# Ids that a model writes into a text despite its instructions.
_ID = r"(?i:ticket-\d{1,20}|doc-[0-9a-f]{6})(?!\w)"
_INLINE_IDS = re.compile(rf"\s?[\[(]\s?({_ID}(?:\s?(?:,|;|&|and|und|et|y|e|en)\s?{_ID}){{0,6}})\s?[\])]")
_BARE_ID = re.compile(rf"(?<![\w\[(-]){_ID}")
_NUMBER = re.compile(r"\d{2,20}")


@dataclass(frozen=True, slots=True)
class Grounding:
    """The reference for an answer: the case as the model got it."""

    case: TicketCase
    restore: Callable[[str], str]
    """Puts what placeholders stand for in their places."""
    link_to: Callable[[str], str]
    """The address at which people open the ticket of an id; empty where that is not known."""
    rules: str = ""
    """Of the house, which the model was told as well."""

    def content(self, answer: Enhancement, *, prompt: str, language: str, nothing_found: bool) -> Content:
        found = {source.id: source for source in self.case.sources}
        answer = _with_ids(answer, found)
        backing = Backing(self.case, self.restore, self.rules, language)
        texts = _Texts(self.case, found, self.restore, backing)
        cause = self._told(answer.likely_cause, "cause", found, texts)
        told_steps = [self._told(step, "step", found, texts) for step in answer.next_steps if step.text]
        # A left-out claim is reported once.
        steps = list({(step.text, *step.sources): step for step in told_steps}.values())[:_MOST_STEPS]
        gives = {each.id: texts(each.gives, "gives", each.id) for each in answer.sources if each.id in found}
        # Includes sources that do not support their claim: they were found, and may be useful.
        cited = [each.sources for each in _claims(answer)[: _MOST_STEPS + 1]] + [
            each.sources for each in (cause, *steps)
        ]
        gives |= {source: "" for sources in cited for source in sources if source in found and source not in gives}
        kept = [told for told in (cause, *steps) if texts.says_something(told)]
        if not kept:
            # Nothing is left of the answer: the technician gets the finds.
            gives |= {source: "" for source in found if source not in gives}
        is_demoted = not cause.sources and not found.keys().isdisjoint(answer.likely_cause.sources)
        is_sure = texts.says_something(cause) and not is_demoted and backing.stands(cause.text)
        named = {each.id for each in answer.sources}.union(*(each.sources for each in _claims(answer)))
        questions = [texts(question, "question") for question in answer.questions if question]
        return Content(
            prompt=prompt,
            language=language,
            summary=texts(answer.summary, "summary"),
            likely_cause=cause,
            next_steps=steps,
            sources=[self._noted(found[source], gives[source]) for source in found if source in gives],
            confidence=answer.confidence if is_sure else None,
            questions=questions[:_MOST_QUESTIONS],
            suggestions=[*self._suggestions(answer)],
            nothing_found=nothing_found,
            left_out=len(named - found.keys()),
        )

    def _told(self, claim: Statement, kind: str, found: Mapping[str, FoundSource], texts: "_Texts") -> NotedText:
        sources = [source for source in dict.fromkeys(claim.sources) if source in found]
        if claim.text and claim.sources and not sources:
            return NotedText(text=texts.words.claim_left_out)
        text = texts(claim.text, kind)
        return NotedText(text=text, sources=texts.backing.sources_of(text, sources))

    def _noted(self, source: FoundSource, gives: str) -> NotedSource:
        # The original, not the redacted text of the model.
        found = source.found
        title = cut(without_links(found.title if isinstance(found, Document) else found.subject), _LONGEST["title"])
        if isinstance(found, Document):
            shown = title or source.id
            return NotedSource(id=source.id, kind="document", title=shown, gives=gives, expires_at=found.expires_at)
        return NotedSource(
            id=source.id,
            kind="ticket",
            number=found.shown,
            title=title,
            day=found.created_at.date() if found.created_at else None,
            link=self.link_to(found.ticket_id),
            gives=gives,
        )

    def _suggestions(self, answer: Enhancement) -> "list[Suggested]":
        ticket = {name: fold(self.case.ticket[name]) for name in ("category", "priority", "group")}
        known = {
            "category": {fold(source.category) for source in self.case.sources},
            "group": {fold(source.group) for source in self.case.sources},
            "priority": _PRIORITIES,
        }
        kept = []
        for name, said in (("category", answer.category), ("priority", answer.priority), ("group", answer.group)):
            if said.value and fold(said.value) in known[name] - {ticket[name]}:
                kept.append(self._suggested(name, said))
        return kept

    def _suggested(self, name: str, said: Suggestion) -> Suggested:
        value = without_links(self.restore(cut(said.value, _LONGEST["value"])))
        return Suggested.model_validate({"field": name, "value": value, "strength": said.strength})


def without_expired(content: Content, now: datetime) -> Content:
    """Return the content without documents that expired since the commit."""
    expired = {each.id: label(each.title) for each in content.sources if each.expires_at and each.expires_at <= now}
    if not expired:
        return content
    left_out = WORDS.get(content.language, WORDS["en"]).claim_left_out

    def told(claim: NotedText) -> NotedText:
        sources = [each for each in claim.sources if each not in expired]
        # The name of an expired document marks a claim, also as an origin inside the text.
        if (claim.sources and not sources) or any(name in claim.text for name in expired.values()):
            return NotedText(text=left_out)
        return NotedText(text=claim.text, sources=sources)

    cause, steps = told(content.likely_cause), [told(step) for step in content.next_steps]
    changed: dict[str, Any] = {
        "likely_cause": cause,
        "next_steps": list({(step.text, *step.sources): step for step in steps}.values()),
        "sources": [each for each in content.sources if each.id not in expired],
        "confidence": content.confidence if cause == content.likely_cause else None,
        "left_out": content.left_out + len(expired),
    }
    return content.model_copy(update=changed)


class _Texts:
    """Restores, limits and marks texts of the answer."""

    def __init__(
        self, case: TicketCase, found: Mapping[str, FoundSource], restore: Callable[[str], str], backing: Backing
    ) -> None:
        self.backing = backing
        self.words = backing.words
        self._names = {source.id: _name(source) for source in found.values()}
        shown = [
            (self._names[each.id], restore(shown_of(each.text, is_whole=each.is_whole))) for each in found.values()
        ]
        self._defang = Defanging(shown, self.words)
        self._restore = restore
        told = [*case.ticket.values(), *case.conversation, *(f"{each.title}\n{each.text}" for each in found.values())]
        self._numbers = {case.ticket["id"]} | {
            each.found.shown for each in found.values() if not isinstance(each.found, Document)
        }
        self._numbers |= {
            number for text in told for found in TICKETS.findall(text) for number in _NUMBER.findall(found)
        }

    def __call__(self, text: str, kind: str, source: str = "") -> str:
        """Return the text restored, cut, and with unsupported specifics marked.

        `source` is the source that the text describes. Commands and links are checked after the cut: a cut command is
        another one.
        """
        text = " ".join(text.split())
        text = _INLINE_IDS.sub(self._names_inline, text)
        text = _BARE_ID.sub(lambda found: self._names.get(found[0].lower(), self.words.no_ticket), text)
        text = TICKETS.sub(self._tickets, text)
        text = self._defang(cut(self._restore(text), _LONGEST[kind]))
        if kind == "question":
            # A question states no facts: it names missing information.
            return text
        if source:
            return self.backing.marked_of(source, text)
        return self.backing.marked_summary(text) if kind == "summary" else self.backing.marked(text)

    def says_something(self, told: NotedText) -> bool:
        left_out = (self.words.claim_left_out, self.words.command_left_out)
        return bool(told.text.strip(" .")) and told.text.strip(" .") not in left_out

    def _tickets(self, found: re.Match[str]) -> str:
        if all(number in self._numbers for number in _NUMBER.findall(found[0])):
            return found[0]
        return self.words.no_ticket

    def _names_inline(self, found: re.Match[str]) -> str:
        known = [self._names[each] for each in re.findall(_ID, found[1].lower()) if each in self._names]
        unknown = [] if len(known) == len(re.findall(_ID, found[1])) else [self.words.no_ticket]
        return f" ({', '.join([*known, *unknown])})"


def _name(source: FoundSource) -> str:
    return label(source.title) if isinstance(source.found, Document) else f"#{source.found.shown}"


def _with_ids(answer: Enhancement, found: Mapping[str, FoundSource]) -> Enhancement:
    """Return the answer with source ids: a model may use other names or brackets."""
    known = {_name(source).casefold(): source.id for source in found.values()} | {each: each for each in found}
    known |= {source.title.casefold(): source.id for source in found.values() if isinstance(source.found, Document)}
    known |= {each.removeprefix("ticket-"): each for each in found if each.startswith("ticket-")}

    def ids(named: list[str]) -> list[str]:
        return [known.get(each.strip(" []()").casefold(), each) for each in named]

    def with_ids(claim: Statement) -> Statement:
        return claim.model_copy(update={"sources": ids(claim.sources)})

    cited = [each.model_copy(update={"id": ids([each.id])[0]}) for each in answer.sources]
    steps = [with_ids(step) for step in answer.next_steps]
    changed = {"likely_cause": with_ids(answer.likely_cause), "next_steps": steps, "sources": cited}
    return answer.model_copy(update=changed)


def _claims(answer: Enhancement) -> list[Statement]:
    return [answer.likely_cause, *answer.next_steps]
