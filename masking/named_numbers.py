"""Numbers that a name beside them tells to be somebody's, and others that are written like one that is known."""

import re
from collections.abc import Iterator, Sequence

from masking.found import Located
from masking.lists import first_names, surnames, words
from masking.people import spelled
from masking.reading import ReadText
from masking.things import OF_THINGS

_CAP = r"[^\W\d_a-zß-öø-ÿ][\w'’-]{1,20}"
_CODE = r"(?:(?:[A-Z]{1,3}-?|[A-Z] )\d{5,12}|\d{5,12}|(?=[A-Z\d]{0,8}\d[A-Z])[A-Z\d]{9,12})(?![\w/-]|[.,:]\d)"
# Two words with a capital, and a code or a number right behind them, or in brackets with a word for it.
_VALUE = re.compile(rf"(?<= )(?P<value>{_CODE})")
_NAMED = re.compile(rf"(?P<first>{_CAP}) (?P<last>{_CAP})(?:[^\n.:;,()\d]{{0,16}}:)? $")
_BRACKETED = re.compile(r"\((?P<word>[^\W\d_]{2,20})(?:nr|-Nr| no| ID)?[.:]{0,2} ?(?P<value>[A-Z]{0,3}-?\d{4,12})\)")
# "S-20417 is Ella Hornung"
_BEFORE = re.compile(rf"(?P<value>[A-Z]{{0,3}}-?\d{{4,12}}) (?:ist|is|=|heißt) (?P<first>{_CAP}) (?P<last>{_CAP})")
_ID = re.compile(r"(?:ID|Id)[ :.#]{1,3}(?P<value>[A-Z]{0,3}\d{2,9}(?:[ -]\d{2,6}){0,3})(?![\w-])")
_NAME = re.compile(rf"({_CAP}) {_CAP},? $")
# What numbers of a person have in common: letters, or the first of the digits.
_SHAPED = re.compile(r"(?<![\w.,/:-])(?:[A-Z]{1,3}-?|[A-Z] )?\d{5,12}(?![\w/-]|[.,:]\d)")
_LETTERS = re.compile(r"[A-Z]{1,3}[ -]?")
_NO_PERSON = re.compile(
    r"(?:ext|durchwahl|dw|tel|room|zimmer|raum|ticket|order|invoice|rechnung\w*|auftrag\w*|az|po|plz|version|build|port)$"
)
_IDS = frozenset(["id"])
_FEW, _MOST, _REACH = 6, 8, 64


def named_numbers(read: ReadText, *, is_labelled: bool) -> Iterator[tuple[int, int]]:
    """Find numbers right beside a name, each with where it begins and ends; bare ones where others are labelled."""
    for found in _BRACKETED.finditer(read.text) if "(" in read.text else ():
        name = _NAMED.search(read.text, max(0, found.start() - _REACH), found.start())
        if name and _is_name(name["first"]) and not _NO_PERSON.match(found["word"].lower()):
            yield found.span("value")
    for found in read.after(_IDS, _ID):
        name = _NAME.search(read.text, max(0, found.start() - _REACH), found.start())
        if name and _is_name(name[1]):
            yield found.span("value")
    for found in _VALUE.finditer(read.text):
        begin = found.start("value")
        if read.text[begin] == "0" or not (is_labelled or read.text[begin].isupper()):
            continue
        name = _NAMED.search(read.text, max(0, begin - _REACH), begin) or _BEFORE.match(read.text, begin)
        is_name = name and (_is_name(name["first"]) or _is_name(name["last"]))
        if is_name and not OF_THINGS.search(read.low, max(0, begin - 24), begin):
            yield found.span("value")


def alike(read: ReadText, found: Sequence[Located]) -> Iterator[Located]:
    """Find what is written like a number of a person that is known: as long, with the same letters or first digits."""
    shapes = dict.fromkeys(_shape(read.text[find.begin : find.end]) for find in found if find.kind == "ID")
    known = [shape for shape in shapes if shape][:_MOST]
    if not known:
        return
    for other in _SHAPED.finditer(read.text):
        begin = other.start()
        if _shape(other[0]) in known and not OF_THINGS.search(read.low, max(0, begin - 24), begin):
            yield Located(*other.span(), "ID")


def _shape(value: str) -> tuple[int, str] | None:
    if not _SHAPED.fullmatch(value) or len(value) < _FEW or value[0] == "0":
        return None
    letters = _LETTERS.match(value)
    return len(value), letters[0] if letters else value[:2]


def _is_name(word: str) -> bool:
    """Return True for a first name or a surname that is nothing else."""
    key = spelled(word.partition("-")[0].rstrip("."))
    return key in first_names() or (key in surnames() and key not in words())
