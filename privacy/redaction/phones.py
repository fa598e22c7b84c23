"""Telephone numbers: valid ones by `phonenumbers`, and labelled ones."""

import re
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from privacy.redaction.lexicon import terms
from privacy.redaction.recognizers import Detection, fragment, patterns
from privacy.redaction.text import ReadText

if TYPE_CHECKING:
    from phonenumbers import PhoneNumber

_OF_THINGS = re.compile(
    rf"(?<![^\W_])(?:{fragment('phones.things')})[\s.:#-]{{0,3}}(?:(?:no|nr|number|nummer|tag|id)[\s.:#]{{0,3}})?$"
)
_NO_DIGIT = re.compile(r"\D+")
# The regions whose numbers are known without a country code.
_OF_ZERO, _OF_OTHERS = ("DE", "AT", "CH", "GB", "FR"), ("US", "ES", "DE")
_MAX_VALIDATIONS = 100  # validating a number takes time
_CANDIDATE, _NO_NUMBER, _SAID, _CALLED, _VERSION = patterns("phones", "candidate no_number said called version")
_EXTENSION, _CELL, _BESIDE, _GROUPED = patterns("phones", "extension cell beside grouped")
_LABELS, _WEAK = terms("phone_labels"), terms("phone_weak")
# Words before other numbers too, and how many digits have to follow.
_MIN = dict.fromkeys(_WEAK, 7) | {"station": 4, "intern": 4, "dial": 3, "poste": 2, "busca": 5, "interne": 4}
# "Gloria x3307"
_SHORT = re.compile(r"x(?<=[ (\n/,-]x)(?<!\d x)\d{3,5}(?=[ \t]{0,2}(?:[\n.,;)/]|$|(?:for|or|and|if|after|until)[ ]))")
_HEAD = re.compile(rf"(?:.*[\W_])?(?:{'|'.join(sorted(_LABELS))})(?:[\W_].*)?")


def phones(read: ReadText) -> Iterator[Detection]:
    if "0" in read.shape or not read.text.isascii():
        spans = list(_spans(read))
        beside = _BESIDE.finditer(read.text) if spans else ()
        short = (found for found in _SHORT.finditer(read.text) if found[0] not in {"x264", "x265"})
        found = [*spans, *(each.span() for each in (*beside, *short))]
        yield from (Detection(begin, end, "PHONE") for begin, end in found)


def _spans(read: ReadText) -> Iterator[tuple[int, int]]:
    numbers = _CANDIDATE.finditer(read.text)
    likely = (each for each in numbers if not (_NO_NUMBER.fullmatch(each[0]) or _VERSION.search(each[0])))
    for looks, found in enumerate(likely):
        if looks >= _MAX_VALIDATIONS or _is_number(read, found):
            is_open = found[0].startswith("(") and ")" not in found[0]
            yield found.start() + is_open, _end(read.text, found.end())
    for found in read.after(_LABELS, _SAID):
        number, label = found["number"], re.match(r"[^\W\d_]+", found[0].lower())
        is_long = _MIN.get(label[0] if label else "", 2) <= sum(map(str.isdigit, number)) <= 16
        if is_long and not _NO_NUMBER.fullmatch(number) and not _VERSION.search(number):
            yield found.start("number"), _end(read.text, found.end("number"))
    for cell in read.column(_HEAD):
        if _CELL.fullmatch(read.text, cell.begin, cell.end):
            yield cell.begin, cell.end


def _end(text: str, at: int) -> int:
    extension = _EXTENSION.match(text, at)
    return extension.end() if extension else at


def _is_number(read: ReadText, found: re.Match[str]) -> bool:
    number, before = found[0], read.low[max(0, found.start() - 60) : found.start()]
    count, is_called = sum(map(str.isdigit, number)), bool(_CALLED.search(before))
    is_plain, is_national = number.isdigit(), number.lstrip("( ").startswith(("0", "+"))
    is_bare = is_plain and ((number[0] != "0" and not is_called) or count > 13)
    is_short = not is_national and count < 9 and not is_called
    is_of_thing = not number.startswith("+") and bool(_OF_THINGS.search(before[-30:]))
    if is_bare or is_of_thing or count > 15:
        return False
    around = read.text[found.start() - 1 : found.start()], read.text[found.end() : found.end() + 1]
    is_line = not is_plain and 7 < count < 13 and "\n" in around[0] and around[1] in {"", "\n"}
    is_like = _GROUPED.fullmatch(number) or (is_called and not is_plain and 8 < count < 13)
    return is_line or (not is_short and (bool(is_like) or any(_is_valid(number, each) for each in _numbers_of(number))))


def _is_valid(written: str, number: "PhoneNumber") -> bool:
    import phonenumbers  # noqa: PLC0415

    is_long = len(_NO_DIGIT.sub("", written)) > 10 or phonenumbers.is_possible_number(number)
    return (is_long and written.startswith(("+", "(+"))) or phonenumbers.is_valid_number(number)


def _numbers_of(written: str) -> Iterator["PhoneNumber"]:
    # Without a country code a number is built, not parsed: a third of the time. These regions prefix at most one zero.
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
    """Return a number's possible regions; any region fits one with a country code."""
    begun = number.lstrip("( ")
    return _OF_ZERO[:1] if begun.startswith(("+", "00")) else _OF_ZERO if begun.startswith("0") else _OF_OTHERS


def international(written: str) -> str:
    """Return the international form of a number, or its digits if no region has it."""
    import phonenumbers  # noqa: PLC0415

    for told in _numbers_of(written):
        if phonenumbers.is_valid_number(told):
            return phonenumbers.format_number(told, phonenumbers.PhoneNumberFormat.E164) + (told.extension or "")
    return _NO_DIGIT.sub("", written)
