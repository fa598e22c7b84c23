"""The judge of a note, by rules alone: equal answers get equal judgements.

Fix, sources and inventions are judged on the model's own answer with placeholders resolved. Parts dropped from the
note are still the model's fault. The parts that reached the note are reported separately.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from dev.evaluation.runner import TicketRun
from dev.evaluation.things import KnownTexts, Thing, things_of
from dev.evaluation.truth import names_fix
from knowledge.models import Document
from workflow.answer import Content, Enhancement, Statement
from workflow.note_words import WORDS
from workflow.prompt import FoundSource

# A link as defanged by `workflow.defanging`.
_HARMLESS = re.compile(r"^hxx|\[[.:]\]")


@dataclass(frozen=True, slots=True)
class Judgement:
    """The findings on one note."""

    ticket: str
    kind: str
    language: str
    family: str | None
    fix_named: bool | None = None
    """None if the ticket has no solution, or there is no answer."""
    right: int = 0
    """Claims with sources of the ticket's family only."""
    wrong: int = 0
    """Claims with a source of another family, or with one that was not found."""
    unsourced: int = 0
    inventions: list[Thing] = field(default_factory=list)
    """Details that are in neither the ticket nor its finds."""
    in_note: list[Thing] = field(default_factory=list)
    """The inventions that reached the note."""
    left_out: int = 0
    """The number of visible omissions."""
    confidence: str = ""
    repaired: bool = False
    failed: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    dollars: float | None = None
    seconds: float = 0.0
    claims: list[str] = field(default_factory=list)
    note: str = ""


def judged(run: TicketRun) -> Judgement:
    ticket, usage = run.case.incoming, run.usage
    values: dict[str, Any] = {
        "repaired": run.repaired,
        "failed": run.failed,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "dollars": usage.cost,
        "seconds": run.seconds,
    }
    answer, content = run.answer, run.content
    if answer is None or content is None:
        return Judgement(ticket.id, ticket.kind, ticket.language, ticket.family, **values)
    claims = [claim.text for claim in _claims(content)]
    known = KnownTexts(run.case.known)
    inventions = _inventions(run, answer, content.language, known)
    if ticket.family is not None:
        values["fix_named"] = names_fix(ticket.family, claims, content.language)
    values |= _sources(run, answer) | {
        "inventions": inventions,
        "in_note": [thing for thing in _note_things(content) if not known.has(thing)],
        "left_out": _count_left_out(content),
        "confidence": answer.confidence,
        "claims": claims,
        "note": run.note,
    }
    return Judgement(ticket.id, ticket.kind, ticket.language, ticket.family, **values)


def _inventions(run: TicketRun, answer: Enhancement, language: str, known: KnownTexts) -> list[Thing]:
    placeholders = run.question.placeholders
    inventions: dict[Thing, None] = {}
    for text in _texts(answer):
        for thing in things_of(text, language):
            if thing.kind == "placeholder" and thing.text not in placeholders:
                inventions[thing] = None
        for thing in things_of(run.question.grounding.restore(text), language):
            if thing.kind != "placeholder" and not known.has(thing):
                inventions[thing] = None
    return list(inventions)


def _texts(answer: Enhancement) -> Iterator[str]:
    yield answer.summary
    yield from (claim.text for claim in _claims(answer))
    yield from (source.gives for source in answer.sources)
    yield from answer.questions


def _claims(answer: Enhancement | Content) -> list[Statement]:
    return [claim for claim in (answer.likely_cause, *answer.next_steps) if claim.text]


def _sources(run: TicketRun, answer: Enhancement) -> dict[str, int]:
    case = run.case
    right = {each.id for each in run.question.grounding.case.sources if case.is_right(_name(each))}
    counts = {"right": 0, "wrong": 0, "unsourced": 0}
    for claim in _claims(answer):
        verdict = "unsourced" if not claim.sources else "right" if right.issuperset(claim.sources) else "wrong"
        counts[verdict] += 1
    return counts


def _name(source: FoundSource) -> str:
    return source.found.title if isinstance(source.found, Document) else source.found.shown


def _note_things(content: Content) -> Iterator[Thing]:
    """Yield the things of the note's texts, except our own words and defanged links."""
    words = WORDS[content.language]
    ours = (words.command_left_out, words.claim_left_out, words.no_ticket)
    mark = re.compile(rf" \((?:{words.no_source}|{words.not_in_ticket}|{words.not_in_it})(?:: [^()]*)?\)")
    texts = [content.summary, *(claim.text for claim in _claims(content))]
    texts += [*(each.gives for each in content.sources), *content.questions]
    for text in texts:
        plain_text = mark.sub(" ", text)
        for each in ours:
            plain_text = plain_text.replace(each, " … ")
        yield from (thing for thing in things_of(plain_text, content.language) if not _HARMLESS.search(thing.text))


def _count_left_out(content: Content) -> int:
    words = WORDS[content.language]
    texts = [content.summary, *(claim.text for claim in _claims(content))]
    marks = (words.command_left_out, words.claim_left_out, words.no_ticket)
    return content.left_out + sum(text.count(mark) for text in texts for mark in marks)
