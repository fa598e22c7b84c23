"""Telephone numbers, as `phonenumbers` knows them, and what is said to be one."""

import re
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from masking.found import Located
from masking.lists import listed
from masking.reading import ReadText
from masking.things import OF_THINGS

if TYPE_CHECKING:
    from phonenumbers import PhoneNumber

_NO_DIGIT = re.compile(r"\D+")
_OF_ZERO, _OF_OTHERS = ("DE", "AT", "CH", "GB", "FR"), ("US", "ES", "DE")
# Who pastes hundreds of numbers has them all masked, without a look at each: a look takes its time.
_MOST_LOOKS = 100
REGIONS = ("DE", "AT", "CH", "GB", "US", "FR", "ES")
"""Those whose numbers are known without a country's code."""
_DIGITS = r"\d(?:[ ]?[./()-]{0,2}[ ]?\d)"
_CANDIDATE = re.compile(
    r"[+(\d](?<![\w./-].)(?<!\d,.)(?:(?<=\+)[ ]?\(?\d|(?<=\()\+?\d|(?<=\d))(?:[ ]?[./()-]{0,2}[ ]?\d){5,16}(?![\w]|-\d"
    r"|[.:/]\d|,\d{1,9}(?![\d ]))"
)
_EXTENSION = re.compile(r"(?i)\s?(?:ext\.?|x|durchwahl|dw|extension)\s?\d{1,6}(?!\w)")
_NO_NUMBER = re.compile(
    r"\(?(?:\d{1,2}[./-]\d{1,2}[./-]\d{2,4}.*|\d{4}-\d{2}-\d{2}.*|(?:\d{1,3}\.){3}\d{1,3}|\d{1,3}(?:\.\d{3})+"
    r"|\d{8}-\d{3,6}|\d+\.\d+)"
)
_VERSION = re.compile(r"\d\.\d\.\d|\d\.\d{1,2}\.\d{4}")
_LABELS = listed("phones labels")
_SAID = re.compile(
    r"""(?ix)[^\W\d_]+
    (?:[\s.:#=|?]|\((?!\d)|-(?!\d)|(?<![^\W_])(?:no|nr|nummer|number|is|ist|lautet|privat|private|auf|at|unter
    |on|me|him|her|mich|ihn|sie|bitte|neu|new|old|alt|back|dial|line|work|home|office|zu|von|the|die|meine|my
    |phone|mobile|handy|tel)(?![^\W_])\.?){1,10}
    (?P<number>[-+]?\(?[+]?\d(?:[ ]?[./()-]{0,2}[ ]?\d){1,16})(?![\w]|[.,:]\d)"""
)
_WEAK = listed("phones weak")
# Words that stand before other numbers too, and how many digits have to follow.
_LEAST = dict.fromkeys(_WEAK, 6) | {"station": 4, "dial": 3, "poste": 2}
# "Gloria x3307"
_SHORT = re.compile(r"x(?<=[ (\n/,-]x)(?<!\d x)\d{3,5}(?=[ \t]{0,2}(?:[\n.,;)/]|$))")
_CELL = re.compile(r"[-+(]{0,2}\d(?:[ ]?[./()-]{0,2}[ ]?\d){1,16}")
_BESIDE = re.compile(r"(?<=\()-\d{2,5}(?=\))")
_CALLED = re.compile(
    r"(?<![^\W_])(?:call|ring|reach|dial|text|anrufen|erreichbar|erreichen|telefon\w*|phone|unter|contact"
    r"|mobile|tel|handy|rückruf\w*)(?![^\W_])[^\n]{0,40}$"
)


def phones(read: ReadText) -> Iterator[Located]:
    """Find numbers that are valid in one of the regions or begin with a country's code, and what is said to be one."""
    if not read.has_digit:
        return
    is_any, looks = False, 0
    for found in _CANDIDATE.finditer(read.text):
        if _NO_NUMBER.fullmatch(found[0]) or _VERSION.search(found[0]):
            continue
        looks += 1
        if looks > _MOST_LOOKS or _is_number(read, found):
            is_any = True
            is_open = found[0].startswith("(") and ")" not in found[0]
            yield _phone(found.start() + is_open, _end(read.text, found.end()))
    for found in read.after(_LABELS, _SAID):
        number, word = found["number"], re.match(r"[^\W\d_]+", found[0])
        least = _LEAST.get(word[0].lower(), 2) if word else 2
        digits = sum(each.isdigit() for each in number)
        if least <= digits <= 16 and not _NO_NUMBER.fullmatch(number) and not _VERSION.search(number):
            is_any = True
            yield _phone(found.start("number"), _end(read.text, found.end("number")))
    for cell in read.cells:
        is_of_phones = any(word in _LABELS for word in re.split(r"[\W_]+", cell.head))
        if is_of_phones and _CELL.fullmatch(read.text, cell.begin, cell.end):
            yield _phone(cell.begin, cell.end)
    yield from (_phone(*found.span()) for found in _SHORT.finditer(read.text) if found[0] not in {"x264", "x265"})
    if is_any:
        yield from (_phone(*found.span()) for found in _BESIDE.finditer(read.text))


def _end(text: str, at: int) -> int:
    extension = _EXTENSION.match(text, at)
    return extension.end() if extension else at


def _is_number(read: ReadText, found: re.Match[str]) -> bool:
    number, before = found[0], read.low[max(0, found.start() - 60) : found.start()]
    is_plain = not re.search(r"\D", number)
    is_international = number.lstrip("( ").startswith(("+", "00"))
    if is_plain and ((number[0] != "0" and not _CALLED.search(before)) or len(number) > 13):
        return False
    is_national = number.lstrip("(").startswith("0") or is_international
    if not is_national and sum(map(str.isdigit, number)) < 9 and not _CALLED.search(before):
        return False
    if not number.startswith("+") and OF_THINGS.search(before[-30:]):
        return False
    if sum(map(str.isdigit, number)) > 15:
        return False
    return any(_is_valid(number, told) for told in _numbers_of(number))


def _is_valid(written: str, number: "PhoneNumber") -> bool:
    import phonenumbers  # noqa: PLC0415

    is_possible = written.startswith(("+", "(+")) and phonenumbers.is_possible_number(number)
    return is_possible or phonenumbers.is_valid_number(number)


def _numbers_of(written: str) -> Iterator["PhoneNumber"]:
    """Return what a number is in each of the regions that may have it.

    What begins with no country's code is put together here: to let it be read for each of them takes three times as
    long, and of these regions none has more than a nought before it.
    """
    import phonenumbers  # noqa: PLC0415 -- most texts have no number, and it takes a tenth of a second

    regions = _regions_of(written)
    digits = _NO_DIGIT.sub("", written)
    for region in regions:
        if len(regions) == 1 or not digits or "x" in written.lower():
            with suppress(phonenumbers.NumberParseException):
                yield phonenumbers.parse(written, region)
            continue
        code = phonenumbers.country_code_for_region(region)
        yield phonenumbers.PhoneNumber(country_code=code, national_number=int(digits.removeprefix("0") or "0"))


def _regions_of(number: str) -> tuple[str, ...]:
    """Return where a number may be from, by how it begins: with a country's code any region does."""
    begun = number.lstrip("( ")
    return REGIONS[:1] if begun.startswith(("+", "00")) else _OF_ZERO if begun.startswith("0") else _OF_OTHERS


def _phone(begin: int, end: int) -> Located:
    return Located(begin, end, "PHONE")


def international(written: str) -> str:
    """Return a number as it is dialled from anywhere, if one of the regions knows it; else its digits."""
    import phonenumbers  # noqa: PLC0415

    for told in _numbers_of(written):
        if phonenumbers.is_valid_number(told):
            return phonenumbers.format_number(told, phonenumbers.PhoneNumberFormat.E164) + (told.extension or "")
    return _NO_DIGIT.sub("", written)
