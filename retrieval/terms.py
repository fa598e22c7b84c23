"""The terms of a text, for the search by common terms, and their weights.

A term is a word's stem, or a code as written. It is stored as a 32-bit number: a hundred million of them are small, and
do not reveal the text.
"""

import re
import unicodedata
import zlib
from collections.abc import Iterator, Sequence
from functools import cache
from typing import NamedTuple

import Stemmer

from retrieval.stop_words import STOP_WORDS

# A word, or joined parts of a code: SID_37, srv-fs02, 10.1.1.5, setup.exe, 0x80070005.
_TOKEN = re.compile(r"[^\W_]+(?:[._\-/@:\\][^\W_]+)*")
_PARTS = re.compile(r"[^\W_]+")
# An address inside a token with a port, a name or a path.
_WHOLES = re.compile(r"[^\W_]+(?:[._-][^\W_]+)*")
# Scripts without spaces between words: pairs of characters are the terms.
_UNSPACED = re.compile("[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]{2,}")
# A drive letter is a word; A and I are common words.
_LETTERS = frozenset("BCDEFGHJKLMNOPQRSTUVWXYZ")
_LONGEST = 64
_MOST = 1000
# Only the start of a longer query is used: a log repeats itself, and other jobs wait meanwhile.
_MOST_ASKED = 8000
_SUBJECT = 3.0
"""How much more a word of the subject counts: measured, on both sides of a search (docs/benchmarks.md)."""
# Okapi BM25 (https://doi.org/10.1561/1500000019). The usual length is fixed, so that stored weights do not change with
# other texts. All three were chosen on the training half of benchmarks/retrieval.
_SATURATION = 2.0
_BY_LENGTH = 0.75
_USUAL_LENGTH = 60.0
# A pasted log must not hide the rest of the ticket.
_LONGEST_LENGTH = 240.0
_ALGORITHMS = {
    "da": "danish",
    "de": "german",
    "en": "english",
    "es": "spanish",
    "fi": "finnish",
    "fr": "french",
    "hu": "hungarian",
    "it": "italian",
    "nl": "dutch",
    "no": "norwegian",
    "pt": "portuguese",
    "ro": "romanian",
    "ru": "russian",
    "sv": "swedish",
    "tr": "turkish",
}


def weighed_terms(subject: str, text: str, language: str) -> dict[int, float]:
    """Return the weight of each term in a document: the text's part of BM25.

    It is between 0 and 3, more for a term that is frequent or in the subject, less in a long text. A text has at most
    1,000 terms, the first ones.
    """
    counts = {term: count for term, (count, _) in _counts(subject, text, [language]).items()}
    length = min(sum(counts.values()), _LONGEST_LENGTH) / _USUAL_LENGTH
    norm = _SATURATION * (1 - _BY_LENGTH + _BY_LENGTH * length)
    return {term: count * (_SATURATION + 1) / (count + norm) for term, count in counts.items()}


class AskedTerms(NamedTuple):
    """The terms of a query, as parallel lists."""

    terms: list[int]
    weights: list[float]
    """How often each counts."""
    words: list[int]
    """The word that it is a stem of: one is worth as much as the best of its stems."""


def asked_terms(subject: str, text: str, languages: Sequence[str]) -> AskedTerms:
    """Return the terms of a query text.

    With several `languages` each word is stemmed in each of them: two words may be of any, and a copy has the stem of
    its own language alone.
    """
    counts = _counts(subject, text[:_MOST_ASKED], languages)
    weights = [count**0.5 for count, _ in counts.values()]
    return AskedTerms(list(counts), weights, [number for _, number in counts.values()])


def _counts(subject: str, text: str, languages: Sequence[str]) -> dict[int, tuple[float, int]]:
    counts: dict[int, tuple[float, int]] = {}
    numbers: dict[str, int] = {}
    for part, weight in ((subject, _SUBJECT), (text, 1.0)):
        for word in _words(part):
            number = numbers.setdefault(word, len(numbers))
            for term in map(_number, _stems(word, languages)):
                if term in counts or len(counts) < _MOST:
                    count, number = counts.get(term, (0.0, number))
                    counts[term] = (count + weight, number)
    return counts


def _words(text: str) -> Iterator[str]:
    """Yield each word, and the parts of a code; case is kept for one-letter words."""
    for found in _TOKEN.finditer(unicodedata.normalize("NFKC", text)):
        token = found.group()
        parts = _PARTS.findall(token)
        if unspaced := _UNSPACED.findall(token):
            yield from (run[at : at + 2] for run in unspaced for at in range(len(run) - 1))
            parts = [part for run in parts for part in _UNSPACED.split(run) if part]
        elif len(token) <= _LONGEST:
            yield token
        if len(parts) > 1 or unspaced:
            wholes = _WHOLES.findall(token)
            yield from (whole for whole in wholes if len(wholes) > 1 and len(whole) <= _LONGEST and whole not in parts)
            # The figures of dates and versions are too common alone; a code's part has at least four.
            yield from (part for part in parts if len(part) <= _LONGEST and (not part.isdecimal() or len(part) > 3))


def _stems(word: str, languages: Sequence[str]) -> set[str]:
    if len(word) == 1:
        return {word.casefold()} if word in _LETTERS or word.isdecimal() else set()
    low = word.casefold()
    if not low.isalpha() or (len(word) == 2 and word.isupper()):
        return {low}  # IT, US and AD are not "it", "us" and "ad"
    # In an uncertain language, stop words of the likeliest one are skipped.
    if low in STOP_WORDS.get(languages[0], ()):
        return set()
    return {_stem(low, language) for language in languages if low not in STOP_WORDS.get(language, ())}


def _stem(word: str, language: str) -> str:
    algorithm = _ALGORITHMS.get(language)
    return word if algorithm is None else str(_stemmer(algorithm).stemWord(word))


@cache
def _stemmer(algorithm: str) -> Stemmer.Stemmer:
    return Stemmer.Stemmer(algorithm)


def _number(stem: str) -> int:
    """Return the term's number: signed, as Postgres integers are."""
    number = zlib.crc32(stem.encode(errors="replace"))
    return number - (1 << 32) if number >= 1 << 31 else number
