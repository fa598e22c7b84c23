"""Numbers of a person (employee, passport, social security), and dates of birth."""

import re
from collections.abc import Iterator, Sequence
from functools import cache

from privacy.redaction.lexicon import terms
from privacy.redaction.recognizers import Detection, patterns, recognize, table
from privacy.redaction.text import ReadText

# Behind a label, with words between ("Personalausweis zur Prüfung: L7Y3K04N9"), in the sentence of a word for one.
_LABELLED, _SPACED, _NATIONAL, _FAR = patterns("ids", "labelled spaced national far")
_SHAPED, _OF_THINGS, _OF_PHONE, _NO_ID = patterns("ids", "shaped of_things of_phone no_id")
_HEAD, _CELL, _BORN, _BORN_HEAD, _BORN_AGAIN, _DATE = patterns("ids", "head cell born born_head born_again date")
_BESIDE = tuple(zip(patterns("ids", "beside born_beside"), ("ID", "BIRTHDATE"), strict=True))
_MAX_SHAPES = 8
_NEEDS_SIGN = frozenset(["fs", "dl", "perso", "ausweis", "emp", "staff", "patient", "patientin", "badge", "ni"])
_FIRSTS = terms("id_firsts")
_BEGINNINGS = tuple(first for first in _FIRSTS if len(first) > 3)
_FORMS = table("ids")
_SENTENCE = re.compile(r"[^\W\d][.!?] |\n")
_DIGIT, _BORN_FIRSTS = re.compile(r"\d"), terms("birth_firsts")


def birth_dates(read: ReadText) -> Iterator[Detection]:
    """Find dates labelled as birth dates, by a word or by the head of a column."""
    for begin in read.starts(_BORN_FIRSTS):
        # Without a digit nearby the pattern would try each length of its gap.
        found = _BORN.match(read.text, begin) if _DIGIT.search(read.text, begin, begin + 80) else None
        while found:
            yield Detection(*found.span("value"), "BIRTHDATE")
            found = _BORN_AGAIN.match(read.text, found.end("value"))
    for cell in read.column(_BORN_HEAD):
        if _DATE.fullmatch(read.low, cell.begin, cell.end):
            yield Detection(cell.begin, cell.end, "BIRTHDATE")


def ids(read: ReadText) -> Iterator[Detection]:
    """Find a person's numbers by label, form and check digits, or column head."""
    yield from recognize(_FORMS, read)
    yield from (Detection(*each.span("value"), "ID") for each in read.after(terms("national_firsts"), _NATIONAL))
    at = 0
    for begin in read.starts(filter(_may_begin, read.places)):
        if found := _LABELLED.match(read.text, begin) if begin >= at else None:
            value, label = found["value"], found["label"].lower()
            digits = sum(map(str.isdigit, value))
            if _OF_PHONE.search(read.low, max(0, begin - 12), begin):
                continue
            is_bare = label in _NEEDS_SIGN and not re.search(r"[:#=]|no|nr|num", found["sign"].lower())
            if digits > (3 if is_bare else 2 - (len(value) > 7)) and not _NO_ID.fullmatch(value):
                at = found.end("value")
                yield Detection(*found.span("value"), "ID")
                continue
        found = _SPACED.match(read.text, begin)
        is_thing = found and _OF_THINGS.search(read.low, begin, found.start("value"))
        if found and sum(map(str.isdigit, found["value"])) > 3 and not is_thing:
            yield Detection(*found.span("value"), "ID")
    for cell in read.column(_HEAD):
        value = read.text[cell.begin : cell.end]
        if _CELL.fullmatch(value) and not _NO_ID.fullmatch(value):
            yield Detection(cell.begin, cell.end, "ID")


def far_ids(read: ReadText) -> Iterator[Detection]:
    """Find long numbers in an id word's sentence: "tax office has it as 83 041 772"."""
    end = 0
    for begin in read.starts(filter(_may_begin, read.places)) if "0" in read.shape else ():
        sentence = _SENTENCE.search(read.text, begin, begin + 80)
        for found in _FAR.finditer(read.text, max(begin, end), sentence.start() + 1 if sentence else begin + 80):
            end = found.end()
            is_cut = read.text[end : end + 1].isalnum() or sum(map(str.isdigit, found[0])) < 6
            is_thing = _OF_THINGS.search(read.low, max(0, found.start() - 24), found.start())
            if not (is_cut or is_thing or _NO_ID.fullmatch(found[0])):
                yield Detection(*found.span(), "ID")


@cache
def _may_begin(word: str) -> bool:
    return word in _FIRSTS or word.startswith(_BEGINNINGS)


def alike(read: ReadText, found: Sequence[Detection]) -> Iterator[Detection]:
    """Find numbers with the letters or first digits, and length, of a known id."""
    shapes = dict.fromkeys(_shape(read.text[find.begin : find.end]) for find in found if find.kind == "ID")
    known = [shape for shape in shapes if shape][:_MAX_SHAPES]
    for other in _SHAPED.finditer(read.text) if known else ():
        begin = other.start()
        if _shape(other[0]) in known and not _OF_THINGS.search(read.low, max(0, begin - 24), begin):
            yield Detection(*other.span(), "ID")


def _shape(value: str) -> tuple[int, str | int] | None:
    if not _SHAPED.fullmatch(value) or len(value) < 6:
        return None
    letters = re.match(r"[A-Z]{1,3}[ -]?", value)
    if letters and len(value) > 8:
        return len(value), len(letters[0])
    return len(value), letters[0] if letters else " " if " " in value else value[:2]


def beside_names(read: ReadText, names: Sequence[Detection]) -> Iterator[Detection]:
    """Find a number right behind the name of a person: "Halima Osman 5408 030791"."""
    for name in names:
        for form, kind in _BESIDE if " " in read.text[name.begin : name.end] else ():
            if found := form.match(read.text, name.end):
                yield Detection(*found.span("value"), kind)
