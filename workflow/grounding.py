"""Grounding of an answer: claims are kept only with sources of the case.

A claim cites sources by their ids. Unknown ids are removed; a claim that cites only unknown ids is replaced by a
marker. Ticket numbers in a text must occur in the case: the ticket, its conversation and the sources.

Placeholders are restored before links and commands are checked (`workflow.defanging`): a value and the words around
it may form a link or command. Other specifics, such as hosts or codes (`workflow.specifics`), must occur in the
ticket or in a source. A claim gets the sources that contain its specifics. A claim with an unsupported specific is a
guess, even with citations, and the specific is marked for the technician.

A claim keeps its sources only with a quote that is in one of them (`workflow.quotes`). Whether it says what the claim
says is for the check of the claims (`workflow.claim_check`), or for a few rules if there is none.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from config.tenants import fold
from knowledge.models import Document
from workflow.answer import (
    CitedSource,
    Confidence,
    Content,
    Enhancement,
    NoteText,
    Statement,
    Suggested,
    cut,
)
from workflow.commands import without_dangerous
from workflow.defanging import Defanging, label, without_links
from workflow.note import WORDS
from workflow.note_sources import LinkOf, note_source
from workflow.prompt import FoundSource, PromptContext
from workflow.quotes import QuotableText, Quote, durations, is_negated
from workflow.specifics import KNOWN_LINKS, SourceText, Specific, folded_key, specifics_of

_MAX_LENGTH = {"summary": 400, "cause": 400, "step": 500, "question": 200, "value": 80}
_MAX_STEPS = 5
_MAX_QUESTIONS = 3
# A shorter ticket needs no summary; one with fewer words has too little information for a cause.
_MIN_SUMMARIZED_LENGTH = 700
_MIN_WORDS = 5
# For texts without blanks between words.
_MIN_LENGTH = 40
# Default priorities of a desk. Suggestions of other priorities are dropped: the sources have none to compare with.
_PRIORITIES = frozenset({"high", "medium", "normal", "low"})
# Ids that a model writes into a text despite its instructions.
_ID = r"(?i:ticket-\d{1,20}|doc-[0-9a-f]{6})(?!\w)"
INLINE_IDS = re.compile(rf"\s?[\[(]\s?({_ID}(?:\s?(?:,|;|&|and|und|et|y|e|en)\s?{_ID}){{0,6}})\s?[\])]")
_BARE_ID = re.compile(rf"(?<![\w\[(-]){_ID}")
_NUMBER = re.compile(r"\d{2,20}")
# Numbers that a text presents as ticket numbers. "Request 15 minutes" is an amount.
_BEFORE_NUMBER = r"[\s:]{0,3}(?:(?:id|no|nr|number|nummer|numero|número)\b[.:]?\s{0,2})?(?:(?:is|ist|es|est)\s)?#?"
_AMOUNT = (
    r"\d{1,5}\s?(?:%|(?:[kmgt]b|[kmgt]o|ms|h|s|min\w*|sec\w*|sek\w*|hours?|days?|weeks?|stunden?|tagen?|wochen?|heures?"
    r"|jours?|horas?|d[ií]as?|ore|giorni|uur|uren|dagen)\b)"
)
_TICKETS = re.compile(
    r"(?i)(?:(?<!\bport )(?<!\bevent )#\s?|\b(?:tickets?|incidents?|cases?|vorg[aä]nge?)"
    rf"{_BEFORE_NUMBER}|\b(?:requests?|anfragen?|demandes?|solicitud(?:es)?|richiest[ae]){_BEFORE_NUMBER}"
    r"(?!\d+\s[^\W\d_]{3})|\b(?:INC|SR|REQ)-?)(?=\d{2,20}(?!\w))"
    rf"(?!{_AMOUNT})"
    r"\d+(?:\s?(?:,|and|und|et|y|e|en|&|or|oder)\s?#?\d{2,20}(?!\w)){0,8}"
)
# Closing quotes and brackets after a value: the mark follows them.
_CLAUSE_END = re.compile(r"[.,;!?](?=\s|$)|$")
_CLOSING = re.compile(r"['’]s(?!\w)|(?:\s?»|['’](?!\w)|[\"”“‘)\]`])*")
_MAX_NAMED = 5
_PLACEHOLDER = re.compile(r"\[([A-Z]{2,20})_\d{1,4}\]")
_WORD = re.compile(r"[^\W_]{2,}")
# Plain numbers, also 4.2: any text may contain one by chance.
_PLAIN = re.compile(r"\d*(?:\.\d+)?")
# German and Dutch join a name and a noun into one word.
_JOINING = frozenset({"de", "nl"})
_JOINED = re.compile(r"-[A-ZÄÖÜ][a-zäöüß]{3,30}$")
_INFLECTED = re.compile(r"(?<=\w)['’]?s$")
# Defanged links and paths.
_BROKEN = re.compile(r"\[([.:\\])\]")
_DEFANGED = re.compile(r"\S*\[[.:\\]\]\S*")
_TRAILING = ".,;:!?)]}»”’'\""


@dataclass(frozen=True, slots=True)
class Grounding:
    """The reference for an answer: the case as the model got it."""

    case: PromptContext
    restore: Callable[[str], str]
    """Replaces placeholders by their values."""
    link_of: LinkOf
    rules: str = ""
    """The tenant's rules, which the model got as well."""

    def content(
        self, answer: Enhancement, *, prompt: str, language: str, nothing_found: bool, is_judged: bool = False
    ) -> Content:
        """Return the content of a note; `is_judged`: after the check of the claims (`workflow.claim_check`)."""
        found = {source.id: source for source in self.case.sources}
        answer = _normalize_citations(answer, found)
        evidence = _Evidence(self.case, answer.sources, is_judged=is_judged)
        verifier = _ClaimVerifier(self.case, self.restore, self.rules, language, evidence.sources)
        clean = _TextCleaner(self.case, self.restore, verifier, evidence)
        cause = clean.claim(answer.likely_cause, "cause")
        if cause.text == verifier.words.claim_left_out:
            cause = NoteText(text="")
        all_steps = [step for each in answer.next_steps if (step := clean.claim(each, "step")).text]
        # Equal steps, such as markers of left-out claims, occur once.
        steps = list({(step.text, *step.sources): step for step in all_steps}.values())[:_MAX_STEPS]
        cited = {source for claim in (cause, *steps) for source in claim.sources}
        # Without a cited source, the note lists those that were found.
        others = evidence.sources.keys() - evidence.other_problems
        shown = [source for each, source in evidence.sources.items() if each in (cited or others)]
        quotes = {each.id: each.quote for each in answer.sources}
        claims = [answer.likely_cause, *answer.next_steps]
        cited_ids = {each.id for each in answer.sources}.union(*(each.sources for each in claims))
        questions = [clean(question, "question") for question in answer.questions if question]
        ticket_text = "\n".join([self.case.ticket["subject"], self.case.ticket["description"], *self.case.conversation])
        is_thin = len(ticket_text) < _MIN_LENGTH and len(_WORD.findall(ticket_text)) < _MIN_WORDS
        confidence: Confidence = "medium" if cited and not is_thin else "low"
        if confidence == "medium" and evidence.is_certain(answer.likely_cause, cause.sources):
            confidence = "high"
        return Content(
            prompt=prompt,
            language=language,
            summary=clean(answer.summary, "summary") if len(ticket_text) >= _MIN_SUMMARIZED_LENGTH else "",
            likely_cause=cause,
            next_steps=steps,
            sources=[
                note_source(each.id, each.found, self.link_of, clean.quotation(evidence.exact(each.id, quotes)))
                for each in shown
            ],
            confidence=confidence,
            questions=questions[:_MAX_QUESTIONS],
            suggestions=self._suggestions(answer),
            nothing_found=nothing_found,
            is_thin=is_thin,
            left_out=len(cited_ids - found.keys()),
        )

    def claims_to_check(self, answer: Enhancement) -> dict[int, Statement]:
        """Return the claims by number: 0 is the cause, the steps follow. Empty if there is no source.

        Their sources are ids of the case, beginning with the quoted one; none for general knowledge.
        """
        found = {source.id: source for source in self.case.sources}
        answer = _normalize_citations(answer, found)
        evidence = _Evidence(self.case, answer.sources, is_judged=True)
        claims = {}
        for number, claim in enumerate([answer.likely_cause, *answer.next_steps] if found else []):
            cited = [source for source in dict.fromkeys(claim.sources) if source in found]
            source, quote = evidence.quote_of(claim, cited, is_cause=number == 0)
            sources = list(dict.fromkeys([source, *cited])) if source else cited
            if claim.text:
                claims[number] = claim.model_copy(update={"sources": sources, "quote": quote})
        return claims

    def _suggestions(self, answer: Enhancement) -> list[Suggested]:
        known_values = {
            "category": {fold(source.category) for source in self.case.sources},
            "priority": _PRIORITIES,
            "group": {fold(source.group) for source in self.case.sources},
        }
        kept = []
        for name, suggestion in (("category", answer.category), ("priority", answer.priority), ("group", answer.group)):
            if suggestion and fold(suggestion) in known_values[name] - {fold(self.case.ticket[name])}:
                value = without_links(self.restore(cut(suggestion, _MAX_LENGTH["value"])))
                kept.append(Suggested.model_validate({"field": name, "value": value}))
        return kept


def without_expired(content: Content, now: datetime) -> Content:
    """Return the content without documents that expired since the commit."""
    words = WORDS.get(content.language, WORDS["en"])
    past = [each for each in content.sources if each.expires_at and each.expires_at <= now]
    expired = {each.id: label(each.title, words.document) for each in past}
    if not expired:
        return content
    left_out = words.claim_left_out

    def updated(claim: NoteText) -> NoteText:
        sources = [each for each in claim.sources if each not in expired]
        # Replaced: a claim with expired sources only, or with an expired document's name in its text.
        if (claim.sources and not sources) or any(name in claim.text for name in expired.values()):
            return NoteText(text=left_out)
        return NoteText(text=claim.text, sources=sources, quote=claim.quote if sources == claim.sources else "")

    cause, steps = updated(content.likely_cause), [updated(step) for step in content.next_steps]
    if cause.text == left_out:
        cause = NoteText(text="")
    any_source = any(claim.sources for claim in (cause, *steps))
    changed: dict[str, Any] = {
        "likely_cause": cause,
        "next_steps": list({(step.text, *step.sources): step for step in steps}.values()),
        "sources": [each for each in content.sources if each.id not in expired],
        "confidence": content.confidence if cause == content.likely_cause and any_source else "low",
        "left_out": content.left_out + len(expired),
    }
    return content.model_copy(update=changed)


def _name(source: FoundSource, document: str = "document") -> str:
    return label(source.title, document) if isinstance(source.found, Document) else f"#{source.found.shown}"


def _normalize_citations(answer: Enhancement, found: Mapping[str, FoundSource]) -> Enhancement:
    ids = {_name(source).casefold(): source.id for source in found.values()} | {each: each for each in found}
    ids |= {source.title.casefold(): source.id for source in found.values() if isinstance(source.found, Document)}
    ids |= {each.removeprefix("ticket-"): each for each in found if each.startswith("ticket-")}

    def id_of(citation: str) -> str:
        return ids.get(citation.strip(" []()").casefold(), citation)

    def with_ids(claim: Statement) -> Statement:
        return claim.model_copy(update={"sources": [id_of(each) for each in claim.sources]})

    changed = {
        "likely_cause": with_ids(answer.likely_cause),
        "next_steps": [with_ids(step) for step in answer.next_steps],
        "sources": [each.model_copy(update={"id": id_of(each.id)}) for each in answer.sources],
    }
    return answer.model_copy(update=changed)


class _TextCleaner:
    """Restores, limits and marks texts of the answer."""

    def __init__(
        self,
        case: PromptContext,
        restore: Callable[[str], str],
        verifier: "_ClaimVerifier",
        evidence: "_Evidence",
    ) -> None:
        self._verifier = verifier
        self._evidence = evidence
        self._words = verifier.words
        self._restore = restore
        self._names = {source.id: _name(source, self._words.document) for source in case.sources}
        self._source_texts = {self._names[each.id]: restore(each.text) for each in case.sources}
        self._defang = Defanging(
            list(self._source_texts.items()),
            self._words,
            lambda: restore("\n".join([*case.ticket.values(), *case.conversation])),
        )
        tickets = [each.found.shown for each in case.sources if not isinstance(each.found, Document)]
        self._numbers = {case.ticket["id"], *tickets}
        texts = [
            *case.ticket.values(),
            *case.conversation,
            *(f"{each.title}\n{each.problem}\n{each.text}" for each in case.sources),
        ]
        for text in texts:
            self._numbers.update(*(_NUMBER.findall(found) for found in _TICKETS.findall(text)))

    def __call__(self, text: str, kind: str) -> str:
        """Return the text restored, cut, and with unsupported specifics marked.

        Commands and links are checked after the cut: a truncated command is a different command.
        """
        text = " ".join(text.split())
        text = INLINE_IDS.sub(self._names_inline, text)
        text = _BARE_ID.sub(lambda found: self._names.get(found[0].lower(), self._words.no_ticket), text)
        text = _TICKETS.sub(self._tickets, text)
        text = cut(self._restore(text), _MAX_LENGTH[kind])
        text = self._defang(without_dangerous(text, self._source_texts.values(), self._words.command_left_out))
        # A question states no facts: it names missing information.
        return text if kind == "question" else self._verifier.marked(text, kind)

    def claim(self, claim: Statement, kind: str) -> NoteText:
        cited = [source for source in dict.fromkeys(claim.sources) if source in self._names]
        if claim.text and claim.sources and not cited:
            return NoteText(text=self._words.claim_left_out)
        text = self(claim.text, kind)
        source, quote = self._evidence.quote_of(claim, cited, is_cause=kind == "cause")
        if not source or text.strip(" .") in ("", self._words.command_left_out):
            return NoteText(text=text)
        also_cited = [each for each in cited if each != source and each in self._evidence.sources]
        sources = self._verifier.sources_of(text, [source, *(also_cited if source in cited else [])])
        if not sources:
            return NoteText(text=text)
        for name in {self._names[each] for each in sources}:
            # The source is named behind the claim.
            text = text.replace(f" ({self._words.origin.format(name)})", "")
        return NoteText(text=text, sources=sources, quote=self.quotation(quote))

    def quotation(self, quote: str) -> str:
        return without_links(self._restore(self._evidence.hide_others(quote)))

    def _tickets(self, found: re.Match[str]) -> str:
        is_known = self._numbers.issuperset(_NUMBER.findall(found[0]))
        return found[0] if is_known else self._words.no_ticket

    def _names_inline(self, found: re.Match[str]) -> str:
        ids = re.findall(_ID, found[1].lower())
        names = [self._names[each] for each in ids if each in self._names]
        unknown = [] if len(names) == len(ids) else [self._words.no_ticket]
        return f" ({', '.join([*names, *unknown])})"


class _Evidence:
    """Finds the quotes of an answer in the redacted case.

    Without a judge, fixed rules stand in for it: a quote is exact, its source has the ticket's problem, and the claim
    drops no negation and adds no duration.
    """

    def __init__(self, case: PromptContext, cited: Sequence[CitedSource], *, is_judged: bool) -> None:
        self._is_judged = is_judged
        self.same_problems = {each.id for each in cited if each.same_problem == "yes"}
        self.other_problems = {each.id for each in cited if each.same_problem == "no"}
        self.sources = {each.id: each for each in case.sources if is_judged or each.id not in self.other_problems}
        self._ticket = "\n".join([*case.ticket.values(), *case.conversation])
        self._quotable: dict[str, QuotableText] = {}

    def quote_of(self, claim: Statement, cited: Sequence[str], *, is_cause: bool) -> tuple[str, str]:
        """Return the source of a claim and the words that support it; both empty if none do.

        A quote of another source than the cited one shows that the model confused their ids. Without a judge, the
        problem of an earlier ticket may support a cause, but no step.
        """
        if not (claim.text and cited):
            return "", ""
        has_problem = is_cause or self._is_judged
        # A look-alike may be compared with in a step, but explains nothing.
        sources = self.sources.keys() - (self.other_problems if is_cause else set())
        for source in dict.fromkeys([*cited, *self.sources]):
            quote = self._find(claim.quote, source, has_problem=has_problem) if source in sources else None
            if quote and (self._is_judged or self._meets_rules(claim, quote, [*cited, source])):
                return source, quote.text
        for source in [each for each in cited if each in sources] if self._is_judged else ():
            for text in (self.sources[source].text, self.sources[source].problem):
                if nearest := self._quotable_text(text).nearest(claim.quote):
                    return source, nearest.text
        return "", ""

    def is_certain(self, claim: Statement, sources: Sequence[str]) -> bool:
        """Return True for an exact quote of a source with the ticket's problem."""
        return (
            bool(sources)
            and sources[0] in self.same_problems
            and self._find(claim.quote, sources[0], has_problem=True) is not None
        )

    def exact(self, source: str, quotes: Mapping[str, str]) -> str:
        """Return the sentence of a source's quote; empty if the source does not have its words."""
        found = self._find(quotes.get(source, ""), source, has_problem=False)
        return found.text if found else ""

    def _meets_rules(self, claim: Statement, quote: Quote, sources: Iterable[str]) -> bool:
        return (not quote.negated or is_negated(claim.text)) and self._has_durations(claim, sources)

    def hide_others(self, quote: str) -> str:
        """Return the quote without the values of people who do not belong to this ticket."""
        return _PLACEHOLDER.sub(lambda found: found[0] if self._may_be_shown(found) else f"[{found[1]}_0]", quote)

    def _may_be_shown(self, found: re.Match[str]) -> bool:
        return found[1] == "HOST" or (found[1] != "SECRET" and found[0] in self._ticket)

    def _find(self, quote: str, source: str, *, has_problem: bool) -> Quote | None:
        found = self._quotable_text(self.sources[source].text).find(quote)
        problem = self.sources[source].problem
        return self._quotable_text(problem).find(quote) if found is None and has_problem and problem else found

    def _quotable_text(self, text: str) -> QuotableText:
        if text not in self._quotable:
            self._quotable[text] = QuotableText(text)
        return self._quotable[text]

    def _has_durations(self, claim: Statement, sources: Iterable[str]) -> bool:
        claimed = durations(claim.text)
        if not claimed:
            return True
        texts = [f"{each.problem}\n{each.text}" for source in sources if (each := self.sources.get(source))]
        return claimed <= durations("\n".join([self._ticket, *texts]))


class _ClaimVerifier:
    """Verifies an answer's texts against ticket, sources and the tenant's `rules`."""

    def __init__(
        self, case: PromptContext, restore: Callable[[str], str], rules: str, language: str, citable: Iterable[str]
    ) -> None:
        self._case = case
        self._citable = citable
        self._sources = {each.id: each for each in case.sources}
        self._source_texts: dict[str, SourceText] = {}
        self._specifics_by_text: dict[str, list[Specific]] = {}
        self._restore = restore
        self._rules = rules
        self._language = language
        self.words = WORDS.get(language, WORDS["en"])

    def sources_of(self, text: str, cited: Sequence[str]) -> list[str]:
        """Return a claim's sources: the cited ones, and others for missing specifics.

        Empty for a guess: a claim without citations, or with an unsupported specific or link.
        """
        if not cited or not self._links_supported(text):
            return []
        sources = [*cited]
        for item in self._specifics(text):
            if self._is_supported(item, sources):
                continue
            # A plain number may occur in another source by chance.
            matches = [] if _PLAIN.fullmatch(item.key) else [each for each in self._citable if self._has([each], item)]
            if not matches:
                return []
            sources.append(matches[0])
        return sources

    def marked(self, text: str, kind: str) -> str:
        """Return the text; a mark after the last unsupported specific, or a command's clause, lists them.

        Specifics of a summary must occur in the ticket, those of other texts in the ticket, a source or the rules.
        """
        specifics = self._specifics(text)
        if kind == "summary":
            unknown, words = [one for one in specifics if not self._ticket.has(one)], self.words.not_in_ticket
        else:
            unknown = [one for one in specifics if not self._is_supported(one, self._sources)]
            words = self.words.no_source
        if not unknown:
            return text
        names = list(dict.fromkeys(text[one.begin : one.end] for one in unknown))
        listed = ", ".join([*names[:_MAX_NAMED], *(["…"] if len(names) > _MAX_NAMED else [])])
        closing = _CLOSING.match(text, unknown[-1].end)
        end = last = closing.end() if closing else unknown[-1].end
        if unknown[-1].is_command and (stop := _CLAUSE_END.search(text, end)):
            # Not between a command and plain words that may belong to it.
            end = stop.start()
        mark = f"{words}{self.words.colon}{listed}" if len(names) > 1 or end > last else words
        return f"{text[:end]} ({mark}){text[end:]}"

    def _links_supported(self, text: str) -> bool:
        for found in _DEFANGED.findall(text):
            link = _BROKEN.sub(r"\1", found).replace("hxxp", "http").rstrip(_TRAILING)
            specific = Specific(0, len(link), folded_key(link).strip("/"))
            if not KNOWN_LINKS.fullmatch(link.casefold()) and not self._is_supported(specific, self._sources):
                return False
        return True

    def _specifics(self, text: str) -> list[Specific]:
        if text not in self._specifics_by_text:
            # A ticket number identifies the ticket, and is not a specific.
            tickets = [found.span() for found in _TICKETS.finditer(text)]
            self._specifics_by_text[text] = [
                self._base(specific, text)
                for specific in specifics_of(text, self._language)
                if not any(begin <= specific.begin < end for begin, end in tickets)
            ]
        return self._specifics_by_text[text]

    def _base(self, specific: Specific, text: str) -> Specific:
        """Return the specific without `'s` or a joined noun, if that form has a source."""
        if specific.is_number or specific.is_command:
            return specific
        for pattern in (_JOINED, _INFLECTED) if self._language in _JOINING else (_INFLECTED,):
            shorter = pattern.sub("", text[specific.begin : specific.end])
            base = specific._replace(key=specific.key[: len(shorter)])
            if shorter and base != specific and self._is_supported(base, self._sources):
                return base
        return specific

    def _is_supported(self, specific: Specific, sources: Iterable[str]) -> bool:
        return self._ticket_and_rules.has(specific) or self._has(sources, specific)

    def _has(self, sources: Iterable[str], specific: Specific) -> bool:
        return any(self._source_text(source).has(specific) for source in sources)

    # Most answers have no specifics, so texts are parsed on demand.
    @cached_property
    def _ticket(self) -> SourceText:
        values = [value for name, value in self._case.ticket.items() if name != "id"]
        return SourceText([self._restore("\n".join([*values, *self._case.conversation]))])

    @cached_property
    def _ticket_and_rules(self) -> SourceText:
        return SourceText([self._rules], and_of=self._ticket)

    def _source_text(self, source: str) -> SourceText:
        if source not in self._source_texts:
            # Both forms, because redaction may change a value's spelling.
            found = self._sources[source]
            as_found, as_sent = "\n".join(found.as_found), f"{found.title}\n{found.problem}\n{found.text}"
            texts = [as_found, f"{found.category} {found.group}"]
            self._source_texts[source] = SourceText(texts if as_sent == as_found else [*texts, self._restore(as_sent)])
        return self._source_texts[source]
