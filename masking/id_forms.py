"""Numbers that states and others give to people, known by their form or their checksum."""

import re
from collections.abc import Iterator

from masking.checksums import check
from masking.reading import ReadText
from masking.things import OF_THINGS

# Those of letters begin so; what begins with a digit is looked for wherever a number begins.
_CAPITALS = re.compile(r"[A-Z](?<!\w.)[A-Z]{0,5} ?\d")
# The shortest has nine letters and digits.
_LONG = re.compile(r"\d(?:[ .-]?[\dA-Z]){8}")
_COUNTRY = re.compile(r"\+\d{1,3}[ (]{0,2}$")
_OF_DIGITS = (
    (re.compile(r"(?<!-)\d{3}-\d{2}-\d{4}(?![\w-])"), "us.ssn"),
    (re.compile(r"(?<!\.)756[. ]?\d{4}[. ]?\d{4}[. ]?\d{2}(?![\w])"), ""),
    (re.compile(r"\d{2} ?\d{6} ?[A-Z] ?\d{3}(?!\w)"), ""),
    (re.compile(r"\d{8}-?[A-HJ-NP-TV-Z](?!\w)"), "es.nif"),
    (re.compile(r"[12] ?\d{2} ?(?:0[1-9]|1[0-2]) ?(?:\d{2}|2[AB]) ?\d{3} ?\d{3} ?\d{2}(?!\w)"), "fr.nir"),
    (re.compile(r"(?<![.,/-])\d{2} ?\d{3} ?\d{3} ?\d{3}(?![\w]|[.,/-]\d)"), "de.idnr"),
    (re.compile(r"(?<![.,/-])\d{4} ?\d{6}(?![\w]|[.,/-]\d)"), "at.vnr"),
    (re.compile(r"(?<![.,/-])[1-9]\d\d \d{3} \d{4}(?![\w]|[.,/-]\d)"), "gb.nhs"),
    (re.compile(r"(?<!\.)(?:\d{6}-\d{4}|\d{3}\.\d{3}\.\d{3}-\d{2})(?!\w)"), ""),
    (re.compile(r"784-\d{4}-\d{7}-\d(?![\w-])"), ""),
    # cms.gov: Medicare Beneficiary Identifier
    (re.compile(r"[1-9][A-Z][A-Z\d]\d-[A-Z][A-Z\d]\d-[A-Z]{2}\d\d(?![\w-])"), ""),
    (re.compile(r"[2-9]\d{3} \d{4} \d{4}(?![\w]| ?\d)"), "in_.aadhaar"),
)
_OF_LETTERS = (
    (re.compile(r"[A-Z]{2} ?\d{2} ?\d{2} ?\d{2} ?[A-D](?!\w)"), ""),
    (re.compile(r"[A-Z] ?\d{9}(?!\w)"), "kvnr"),
    (re.compile(r"[XYZ]\d{7}-?[A-HJ-NP-TV-Z](?!\w)"), "es.nif"),
    (re.compile(r"[A-Z]{6}\d{2}[A-EHLMPR-T]\d{2}[A-Z]\d{3}[A-Z](?!\w)"), "it.codicefiscale"),
    (re.compile(r"(?:DE|ATU|CHE-?)\d{8,9}(?!\w)"), ""),
    (re.compile(r"[A-Z]{1,2}\d{6}\([\dA]\)"), ""),
    (re.compile(r"[A-Z]{3}P[A-Z]\d{4}[A-Z](?!\w)"), ""),
    (re.compile(r"[A-Z]{4}\d{6}[HM][A-Z]{5}[A-Z\d]\d(?!\w)"), ""),
    # gov.uk: driver numbers
    (re.compile(r"[A-Z]{5}\d{6}[A-Z]{2}\d[A-Z]{2}(?!\w)"), ""),
)


def formed(read: ReadText) -> Iterator[tuple[int, int]]:
    """Find numbers by their form, each with where it begins and ends."""
    for begin in read.numbers:
        for form, rule in _OF_DIGITS if _LONG.match(read.text, begin) else ():
            if (found := form.match(read.text, begin)) and _is_right(read, found, rule):
                yield found.span()
    for begun in _CAPITALS.finditer(read.text):
        for form, rule in _OF_LETTERS:
            if (found := form.match(read.text, begun.start())) and _is_right(read, found, rule):
                yield found.span()


def _is_right(read: ReadText, found: re.Match[str], rule: str) -> bool:
    if rule and not check(rule)(found[0]):
        return False
    begin = found.start()
    return not _COUNTRY.search(read.text, max(0, begin - 6), begin) and not OF_THINGS.search(
        read.low, max(0, begin - 24), begin
    )
