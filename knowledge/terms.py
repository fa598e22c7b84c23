"""The terms of a text, their weights, and the strength of a find.

A term is a word's stem, or a code as written. It is stored as a 32-bit number: a hundred million of them are small, and
do not reveal the text.
"""

import math
import re
import tomllib
import unicodedata
import zlib
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import Stemmer

from integrations.values import Person
from knowledge.language import LANGUAGES, languages_of

# A word, or joined parts of a code: SID_37, srv-fs02, 10.1.1.5, setup.exe, 0x80070005.
_TOKEN = re.compile(r"[^\W_]+(?:[._\-/@:\\][^\W_]+)*")
_PARTS = re.compile(r"[^\W_]+")
# An address inside a token with a port, a name or a path.
_WHOLES = re.compile(r"[^\W_]+(?:[._-][^\W_]+)*")
# Scripts without spaces between words: pairs of characters are the terms.
_UNSPACED = re.compile("[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]{2,}")
# A drive letter is a word; A and I are common words.
_LETTERS = frozenset("BCDEFGHJKLMNOPQRSTUVWXYZ")
_MAX_TERM_LENGTH = 64
_MAX = 1000
# Only the start of a longer query is used: a log repeats itself, and other jobs wait meanwhile.
_MAX_QUERY_LENGTH = 8000
_SUBJECT = 3.0
"""The weight of a word in the subject, measured on both sides of a search (docs/benchmarks.md)."""
# Okapi BM25 (https://doi.org/10.1561/1500000019). The usual length is fixed, so that stored weights do not change with
# other texts. All three were chosen on the training half of dev/benchmarks/retrieval.
_SATURATION = 2.0
_BY_LENGTH = 0.75
_USUAL_LENGTH = 60.0
# A pasted log must not hide the rest of the ticket.
_MAX_LENGTH = 480.0
_STEMMED = frozenset(["da", "de", "en", "es", "fi", "fr", "hu", "it", "nl", "no", "pt", "ro", "ru", "sv", "tr"])
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss"})


def _spellings(word: str) -> Iterator[str]:
    """Yield a word as written, with `ue` for `ü`, and without accents."""
    yield word
    yield word.translate(_UMLAUTS)
    yield "".join(each for each in unicodedata.normalize("NFKD", word) if not unicodedata.combining(each))


_STOP_WORDS = {
    language: frozenset(each for word in words.split() for each in _spellings(word))
    for language, words in tomllib.loads(Path(__file__).with_name("stop_words.toml").read_text("utf-8")).items()
}
# Lines of a form that are about the requester.
_FORM_LINE = re.compile(
    r"(?im)^[ \t*_-]*(?:(?:full |first |last |user |your )?name|requester|request(?:ed|or)(?: by)?|reported by|caller"
    r"|user(?: ?id)?|employee(?: (?:id|no|number))?|staff id|(?:tele)?phone(?: number)?|mobile|ext(?:ension)?"
    r"|e-?mail(?: address)?"
    r"|department|dept|location|site|building|floor|room|desk|cost cent(?:er|re)|company|manager"
    r"|(?:vor|nach|benutzer)name|anforderer|melder|anwender(?:in)?|benutzer(?:in)?|mitarbeiter(?:in)?|personalnummer"
    r"|tel(?:efon)?(?:nummer)?|durchwahl|handy|abteilung|standort|gebäude|gebaeude|raum|etage|stockwerk|kostenstelle|firma"
    r"|vorgesetzter?|demandeur|utilisateur|nom|prénom|matricule|téléphone|portable|bâtiment|étage|bureau|société"
    r"|solicitante|usuario|nombre|apellidos?|teléfono|móvil|departamento|ubicación|edificio|planta|despacho|empresa"
    r"|richiedente|utente|cognome|telefono|reparto|sede|aanvrager|gebruiker|naam|afdeling|locatie"
    r"|utilizador|nome|telefone|telemóvel|localização)[ \t]*[:=].*$"
)
# The user's own machine: NB-0815, DESKTOP-4F2K9Q1. A server's name may be the matter itself.
_OWN_MACHINE = re.compile(
    r"(?i)(?<![\w-])(?:(?:nb|lap|laptop|notebook|pc|ws|wks|desktop|client|clt)[-_]?[a-z]{0,4}[-_]?\d{3,}\w*"
    r"|(?:desktop|laptop)-[a-z0-9]{6,8})(?![\w-])"
)
# Weaker finds are dropped.
MIN = 0.35
# A logistic regression over queries with and without related tickets among 100 to 10,000 tickets of three public issue
# trackers and of dev/benchmarks/retrieval. docs/benchmarks.md has the results on others.
_BY_SHARE, _BY_TEXTS, _BY_KNOWN, _BY_WORDS_OF_QUERY, _SHIFT = 2.98, -0.62, 0.76, 1.79, 2.97
_MIN_KNOWN = 0.01
# Words and nearness. Texts in two languages share few words on any topic. Among many texts one is near by chance.
_BY_WORDS, _BY_WORDS_OF_ONE_LANGUAGE, _BY_NEARNESS, _NEAR_BY_TEXTS, _BOTH_SHIFT = 0.18, 0.39, 1.39, -0.3, -2.02
# A few words have a vague direction: nearness counts less, around its usual value of a related text.
_SHORT_QUERY, _BY_NEARNESS_OF_SHORT, _USUAL_NEARNESS = 7, 0.6, 2.5
_NO_WORDS = -6.0
_MIN_TERMS = 3
_MAX_INITIALS = 3
_MAX_COMPARED_LENGTH = 8000


def weighed_terms(subject: str, text: str, language: str) -> dict[int, float]:
    """Return the weight of each term in a document: the text's part of BM25.

    It is between 0 and 3, more for a term that is frequent or in the subject, less in a long text. A text has at most
    1,000 terms, the first ones.
    """
    counts = {term: count for term, (count, _) in _counts(subject, text, [language]).items()}
    length = min(sum(counts.values()), _MAX_LENGTH) / _USUAL_LENGTH
    norm = _SATURATION * (1 - _BY_LENGTH + _BY_LENGTH * length)
    return {term: count * (_SATURATION + 1) / (count + norm) for term, count in counts.items()}


class QueryTerms(NamedTuple):
    """The terms of a query, as parallel lists."""

    terms: list[int]
    weights: list[float]
    """The square root of each term's count."""
    words: list[int]
    """The number of each term's word. A word counts as its best stem."""

    @property
    def word_count(self) -> int:
        """The number of words."""
        return len(set(self.words))


def without_noise(text: str, people: Sequence[Person] = ()) -> str:
    """Return a query's text without its people, their machines and form lines: they would find their other tickets."""
    named = [
        re.escape(each).replace(r"\ ", r"\s+")
        for person in people
        for each in _names(person)
        if len(each) > _MAX_INITIALS
    ]
    if named:
        text = re.sub(rf"(?i)(?<!\w)(?:{'|'.join(sorted(named, key=len, reverse=True))})(?!\w)", " ", text)
    return _OWN_MACHINE.sub(" ", _FORM_LINE.sub("", text))


def _names(person: Person) -> Iterator[str]:
    yield from (*person.addresses, *person.numbers, *person.others)
    first, _, last = person.name.rpartition(" ")
    # A single word may be a role: Guest, Network.
    if first:
        yield from (person.name, f"{last}, {first}", f"{last} {first}")


def query_terms(subject: str, text: str, languages: Sequence[str]) -> QueryTerms:
    """Return the terms of a query text.

    With several `languages` each word is stemmed in each of them: two words may be of any language, and a copy has the
    stems of its own language only.
    """
    counts = _counts(subject, text[:_MAX_QUERY_LENGTH], languages)
    weights = [count**0.5 for count, _ in counts.values()]
    return QueryTerms(list(counts), weights, [number for _, number in counts.values()])


def _counts(subject: str, text: str, languages: Sequence[str]) -> dict[int, tuple[float, int]]:
    """Return the weighted count of each term, and the position of its word."""
    counts: dict[int, tuple[float, int]] = {}
    words = [(word, weight) for part, weight in ((subject, _SUBJECT), (text, 1.0)) for word in _words(part)]
    for position, (word, weight) in enumerate(words):
        terms = [_number(stem) for stem in _stems(word, languages)]
        # A word that shares a stem with an earlier one is a form of it.
        of_word = next((counts[term][1] for term in terms if term in counts), position)
        for term in terms:
            if term in counts or len(counts) < _MAX:
                count, number = counts.get(term, (0.0, of_word))
                counts[term] = (count + weight, number)
    return counts


def _words(text: str) -> Iterator[str]:
    for found in _TOKEN.finditer(unicodedata.normalize("NFKC", text)):
        token = found.group()
        parts = _PARTS.findall(token)
        if unspaced := _UNSPACED.findall(token):
            yield from (run[at : at + 2] for run in unspaced for at in range(len(run) - 1))
            parts = [part for run in parts for part in _UNSPACED.split(run) if part]
        elif len(token) <= _MAX_TERM_LENGTH:
            yield token
        if len(parts) > 1 or unspaced:
            wholes = _WHOLES.findall(token)
            yield from (
                whole for whole in wholes if len(wholes) > 1 and len(whole) <= _MAX_TERM_LENGTH and whole not in parts
            )
            # The digits of dates and versions are too common alone; a code's number has at least four.
            yield from (
                part for part in parts if len(part) <= _MAX_TERM_LENGTH and (not part.isdecimal() or len(part) > 3)
            )


def _stems(word: str, languages: Sequence[str]) -> list[str]:
    """Return the different stems, in the order of the languages: the same in each process."""
    if len(word) == 1:
        return [word.casefold()] if word in _LETTERS or word.isdecimal() else []
    low = word.casefold()
    if not low.isalpha() or (len(word) == 2 and word.isupper()):
        return [low]  # IT, US and AD are not "it", "us" and "ad"
    # In an uncertain language, stop words of the likeliest one are skipped.
    if low in _STOP_WORDS.get(languages[0], ()):
        return []
    stems = (_stem(low, language) for language in languages if low not in _STOP_WORDS.get(language, ()))
    return list(dict.fromkeys(stems))


def _stem(word: str, language: str) -> str:
    return str(_stemmer(language).stemWord(word)) if language in _STEMMED else word


@cache
def _stemmer(language: str) -> Stemmer.Stemmer:
    return Stemmer.Stemmer(language)


def _number(stem: str) -> int:
    number = zlib.crc32(stem.encode(errors="replace"))
    return number - (1 << 32) if number >= 1 << 31 else number


class WordMatch(NamedTuple):
    """A text that `find_texts` found, and figures of its query and collection."""

    score: float
    """Its BM25."""
    asked: float
    """The weight of all words of the query."""
    known: float
    """The weight of those that any text has: a foreign query has few."""
    texts: float
    """The number of texts: among many, one matches by chance."""

    def strength(self, words: int) -> float:
        """Return the probability, 0 to 1, that the text is about the same matter as a query of so many words."""
        if self.score <= 0 or self.asked <= 0:
            return 0.0
        share, known = self.score / self.asked, max(self.known / self.asked, _MIN_KNOWN)
        logit = _BY_SHARE * math.log(share) + _BY_TEXTS * math.log(max(self.texts, 1)) + _BY_KNOWN * math.log(known)
        return 1 / (1 + math.exp(-(logit + _BY_WORDS_OF_QUERY * math.log(max(words, 1)) + _SHIFT)))


def logit_of_words(by_words: float) -> float:
    likely = min(max(by_words, 0.0), 1 - 1e-9)
    return max(math.log(likely / (1 - likely)), _NO_WORDS) if likely > 0 else _NO_WORDS


def strength_by_both(by_words: float, nearness: float, *, one_language: bool, texts: float, words: int) -> float:
    """Return the strength of a text with an embedding, by words and by nearness.

    `by_words` is that of its `WordMatch`, 0 without common words; `nearness` is that of `knowledge.embedding_space`;
    `texts` and `words` are the numbers of texts in the collection and of words in the query.
    """
    weight = _BY_WORDS + _BY_WORDS_OF_ONE_LANGUAGE * one_language
    if words <= _SHORT_QUERY:
        nearness = _USUAL_NEARNESS + _BY_NEARNESS_OF_SHORT * (nearness - _USUAL_NEARNESS)
    logit = weight * logit_of_words(by_words) + _BY_NEARNESS * nearness + _NEAR_BY_TEXTS * math.log(max(texts, 1))
    return 1 / (1 + math.exp(-(logit + _BOTH_SHIFT)))


def taken_up(steps: Sequence[str], resolution: str, ticket: str, among: Sequence[str] = LANGUAGES) -> float | None:
    """Return the share of a resolution's terms in the steps of a note, 0 to 1.

    It is |R ∩ S| / |R|: S are the terms of the steps, R those of the resolution that the `ticket` itself does not have,
    because they prove nothing about the note. Each term counts once. None if R has fewer than 3 ("fixed", "done"), or
    there are no steps. `among` are the possible languages of the texts; all three are read as the resolution's.

    Limits: it compares words. A resolution in another language than the note, or in other words, counts as not taken
    up. One that names the same things counts as taken up, from any source, and so does "it was not the driver". A
    pasted note gives 1. So it compares prompts, models and tenants over many notes, and is meaningless for a single
    one.
    """
    language = languages_of(resolution, among)[0]

    def terms(text: str) -> set[int]:
        return set(weighed_terms("", text[:_MAX_COMPARED_LENGTH], language))

    resolved, proposed = terms(resolution) - terms(ticket), terms("\n".join(steps))
    if len(resolved) < _MIN_TERMS or not proposed:
        return None
    return len(resolved & proposed) / len(resolved)
