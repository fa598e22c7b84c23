"""Check that the specifics of an answer are in the ticket or in a source.

A claim gets the sources that contain its specifics. A claim with an unsupported specific is a guess, even with
citations, and the specific is marked for the technician.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property

from integrations.values import Document
from workflow import common_words as common
from workflow.case import FoundSource, TicketCase
from workflow.note_words import WORDS
from workflow.patterns import TICKETS
from workflow.specifics import specifics_of
from workflow.stated import Specific, Stated, folded_key

# The rest of a quoted or bracketed value: the mark follows it.
_CLOSING = re.compile(r"['’]s(?!\w)|(?:\s?»|['’](?!\w)|[\"”“‘)\]`])*")
_MOST_NAMED = 5
# Numbers, also such as 4.2: any text may have them by chance.
_PLAIN = re.compile(r"\d*(?:\.\d+)?")
# German and Dutch join a name and a noun into one word.
_JOINING = frozenset({"de", "nl"})
_JOINED = re.compile(r"-[A-ZÄÖÜ][a-zäöüß]{3,30}$")
_INFLECTED = re.compile(r"(?<=\w)['’]?s$")
# Defanged links and paths.
_BROKEN = re.compile(r"\[([.:\\])\]")
_DEFANGED = re.compile(r"\S*\[[.:\\]\]\S*")
_TRAILING = ".,;:!?)]}»”’'\""


class Backing:
    """The backing of an answer's texts, in its language; `rules` are the house's."""

    def __init__(self, case: TicketCase, restore: Callable[[str], str], rules: str, language: str) -> None:
        self._case = case
        self._sources = {each.id: each for each in case.sources}
        self._read: dict[str, Stated] = {}
        self._found: dict[str, list[Specific]] = {}
        self._restore = restore
        self._rules = rules
        self._language = language
        self.words = WORDS.get(language, WORDS["en"])

    def sources_of(self, text: str, cited: Sequence[str]) -> list[str]:
        """Return a claim's sources: the cited ones, and others for missing specifics.

        Empty for a guess: a specific is unsupported, or a link is defanged.
        """
        if not cited or not self._links_stand(text):
            return []
        known = [*cited]
        for one in self._specifics(text):
            if self._told.has(one) or self._has(known, one):
                continue
            # Another source may have the same number by chance, in another matter.
            others = [] if _PLAIN.fullmatch(one.wanted) else [each for each in self._sources if self._has([each], one)]
            if not others:
                return []
            known.append(others[0])
        return known

    def stands(self, text: str) -> bool:
        """Return True if all specifics of a text are in the ticket or in a source."""
        return self._links_stand(text) and not self._unknown(text)

    def marked(self, text: str) -> str:
        return _with_mark(text, self._unknown(text), self.words.no_source)

    def marked_of(self, source: str, text: str) -> str:
        """Return a text with a mark behind specifics of neither `source` nor ticket."""
        unknown = [one for one in self._specifics(text) if not (self._told.has(one) or self._has([source], one))]
        return _with_mark(text, unknown, self.words.not_in_it)

    def marked_summary(self, text: str) -> str:
        """Return the summary with a mark behind specifics that the ticket lacks."""
        unknown = [one for one in self._specifics(text) if not self._ticket.has(one)]
        return _with_mark(text, unknown, self.words.not_in_ticket)

    def _unknown(self, text: str) -> list[Specific]:
        return [one for one in self._specifics(text) if not (self._told.has(one) or self._has(self._sources, one))]

    def _links_stand(self, text: str) -> bool:
        for found in _DEFANGED.findall(text):
            link = _BROKEN.sub(r"\1", found).replace("hxxp", "http").rstrip(_TRAILING)
            if common.LINKS.fullmatch(link.casefold()):
                continue
            one = Specific(0, len(link), folded_key(link).strip("/"))
            if not (self._told.has(one) or self._has(self._sources, one)):
                return False
        return True

    def _specifics(self, text: str) -> list[Specific]:
        if text not in self._found:
            # A ticket number identifies the ticket, and is not a specific.
            tickets = [found.span() for found in TICKETS.finditer(text)]
            self._found[text] = [
                self._base(one, text)
                for one in specifics_of(text, self._language)
                if not any(begin <= one.begin < end for begin, end in tickets)
            ]
        return self._found[text]

    def _base(self, one: Specific, text: str) -> Specific:
        """Return a known name without suffixes: srv-mail02-Dienst, CorpLinks."""
        if one.is_number:
            return one
        for pattern in (_JOINED, _INFLECTED) if self._language in _JOINING else (_INFLECTED,):
            shorter = pattern.sub("", text[one.begin : one.end])
            base = one._replace(wanted=one.wanted[: len(shorter)])
            if shorter and base != one and (self._told.has(base) or self._has(self._sources, base)):
                return base
        return one

    def _has(self, sources: Iterable[str], one: Specific) -> bool:
        return any(self._stated(each).has(one) for each in sources)

    # Most answers have no specifics, so texts are parsed on demand.
    @cached_property
    def _ticket(self) -> Stated:
        values = [value for name, value in self._case.ticket.items() if name != "id"]
        return Stated([self._restore("\n".join([*values, *self._case.conversation]))])

    @cached_property
    def _told(self) -> Stated:
        return Stated([self._rules], and_of=self._ticket)

    def _stated(self, source: str) -> Stated:
        if source not in self._read:
            self._read[source] = Stated(self._texts(self._sources[source]))
        return self._read[source]

    def _texts(self, source: FoundSource) -> list[str]:
        """Return a source as found and as sent: redaction may change a value's spelling."""
        found = source.found
        as_found = (
            f"{found.title}\n{found.text}" if isinstance(found, Document) else f"{found.subject}\n{found.resolution}"
        )
        as_told = f"{source.title}\n{source.text}"
        kinds = f"{source.category} {source.group}"
        return [as_found, kinds] if as_told == as_found else [as_found, kinds, self._restore(as_told)]


def _with_mark(text: str, unknown: Sequence[Specific], words: str) -> str:
    if not unknown:
        return text
    names = list(dict.fromkeys(text[one.begin : one.end] for one in unknown))
    told = ", ".join([*names[:_MOST_NAMED], *(["…"] if len(names) > _MOST_NAMED else [])])
    closing = _CLOSING.match(text, unknown[-1].end)
    end = closing.end() if closing else unknown[-1].end
    return f"{text[:end]} ({f'{words}: {told}' if len(names) > 1 else words}){text[end:]}"
