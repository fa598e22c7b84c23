"""Evidence for a claim in the text of a source: its quote, and the durations that it names.

A quote is verified against the text that the model got; case, blanks and the form of quotation marks and dashes do not
matter. It is shown with its whole sentence, since a model may leave out a condition or a negation. For a claim that the
model checks (`workflow.claim_check`), the nearest sentence stands in for an inexact quote.
"""

import re
from typing import NamedTuple

_SAME = str.maketrans(
    dict.fromkeys('"“”„‘’«»`´', "'") | dict.fromkeys("–—‑", "-") | dict.fromkeys("\n\t\u00a0\u202f", " ")
)
_ENDS = " '.,;:!?…"
# A shorter quote occurs in a text by chance.
_MIN_LENGTH = 8
_MAX_LENGTH = 160
# An inexact quote has at least as many words of a sentence, by their beginnings: `restart`, `restarted`.
_MIN_WORDS, _MIN_SHARE = 2, 0.5
_WORD = re.compile(r"\d+|[^\W\d_]{3,}")
_STEM_LENGTH = 4
_MAX_BEFORE = 60
_BLANKS = re.compile(r"[^\S\n]+")
_LINES = re.compile(r"\s*\n\s*")
_SENTENCE_END = re.compile(r"(?<=[.!?;])\s|\n")
_NEGATION = re.compile(
    r"(?i)(?<!\w)(?:not|no|never|without|nor|cannot|\w+n['’]t|nicht|kein\w{0,2}|nie|niemals|ohne|ne|n['’]|pas|jamais|sans"
    r"|aucune?|nunca|sin|ningun[ao]?|ningún|non|mai|senza|niet|geen|nooit|zonder|não|nem|sem)(?!\w)"
)
# Units of time in seven languages, with their seconds.
_UNITS = {
    r"s(?:ec\w*|ek\w*|eg\w*)?": 1,
    r"min(?:ut\w*)?": 60,
    r"h(?:rs?|ours?|eures?|oras?)?|std|stunden?|or[ae]|uur|uren": 3600,
    r"(?:working |arbeits|werk)?(?:days?|tage?n?|dagen?)|dag|jours?|d[ií]as?|giorn[oi]": 86_400,
    r"weeks?|wochen?|semaines?|semanas?|settiman[ae]|weken|week": 604_800,
}
_SECONDS = tuple(_UNITS.values())
_DURATION = re.compile(
    rf"(?i)(?<![\w.,:])(\d{{1,4}}(?:[.,]\d{{1,2}})?)[\s-]?(?:{'|'.join(f'({unit})' for unit in _UNITS)})(?!\w)"
)


class Quote(NamedTuple):
    """A verified quote, as the source has it."""

    text: str
    """The sentence around the quote, or the part that fits into a note."""
    negated: bool
    """True if the words before the quote, in its sentence, negate it."""


class QuotableText:
    """The text of a source."""

    def __init__(self, text: str) -> None:
        self._text = _LINES.sub("\n", _BLANKS.sub(" ", text)).strip()
        self._folded = _folded(self._text)

    def find(self, quote: str) -> Quote | None:
        """Return the quote in this text; None if it is not there, or too short."""
        wanted = " ".join(_folded(quote).split()).strip(_ENDS)
        if len(wanted) < _MIN_LENGTH:
            return None
        # "install the agent" is no quote of "Uninstall the agent".
        # « Texte » and 'Texte' are the same.
        wanted = r"\ ?'\ ?".join(re.escape(part.strip()) for part in wanted.split("'"))
        places = re.finditer(rf"(?<!\w){wanted}(?!\w)", self._folded)
        quotes = [self._quote(found.start(), found.end()) for found in places]
        return next((quote for quote in quotes if not quote.negated), quotes[0] if quotes else None)

    def nearest(self, quote: str) -> Quote | None:
        """Return the sentence with most of the words of an inexact quote; None if none has enough."""
        wanted = _words(quote)
        best, most = "", 0
        for sentence in _SENTENCE_END.split(self._text):
            found = _words(sentence)
            shared = len(wanted & found)
            if shared > most:
                best, most = sentence, shared
        if most < _MIN_WORDS or most < _MIN_SHARE * len(wanted):
            return None
        return self.find(best) or self.find(_whole_words(best, 0, _MAX_LENGTH))

    def _quote(self, at: int, end: int) -> Quote:
        begin = max((found.end() for found in _SENTENCE_END.finditer(self._text, 0, at)), default=0)
        after = _SENTENCE_END.search(self._text, end)
        stop = after.start() if after else len(self._text)
        before = self._text[begin:at]
        shown = self._text[begin:stop]
        if len(shown) > _MAX_LENGTH:
            first = max(begin, at - _MAX_BEFORE)
            last = min(stop, first + _MAX_LENGTH)
            shown = (
                ("…" if first > begin else "") + _whole_words(self._text, first, last) + ("…" if last < stop else "")
            )
        return Quote(shown.strip(), negated=_NEGATION.search(before[-_MAX_BEFORE:].rpartition(",")[2]) is not None)


def durations(text: str) -> set[float]:
    """Return the durations of a text, in seconds."""
    found = set()
    for match in _DURATION.finditer(text):
        seconds = _SECONDS[(match.lastindex or 2) - 2]
        found.add(float(match[1].replace(",", ".")) * seconds)
    return found


def is_negated(text: str) -> bool:
    return _NEGATION.search(text) is not None


def _words(text: str) -> set[str]:
    return {word[:_STEM_LENGTH] for word in _WORD.findall(text.lower())}


def _folded(text: str) -> str:
    """Return the text for comparison, with the same length."""
    lower = text.lower()
    if len(lower) != len(text):
        lower = "".join(one if len(one) == 1 else character for character in text for one in [character.lower()])
    return lower.translate(_SAME)


def _whole_words(text: str, first: int, last: int) -> str:
    if first > 0 and not text[first - 1].isspace():
        first = text.find(" ", first, last) + 1 or first
    if last < len(text) and not text[last].isspace():
        last = text.rfind(" ", first, last) if " " in text[first:last] else last
    return text[first:last]
