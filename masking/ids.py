"""Numbers that stand for a person: of a state with their checksums, and what is said to be one."""

import re
from collections.abc import Iterator

from masking.checksums import check
from masking.found import Located
from masking.lists import listed
from masking.reading import ReadText
from masking.tables import cells
from masking.things import OF_THINGS

# Whose number it is: in German the begin of a word.
_WHOSE = (
    "employee emp staff personnel payroll worker associate badge customer client cust member membership "
    "patient hospital"
    " chart insurance policy subscriber beneficiary student pupil learner citizen taxpayer tax passport"
    " driver driving national social health medicare medicaid nhs ni library reader loyalty card account acct borrower"
    " donor donator applicant candidate resident id identity registration holder pps ppsn pension provident pf"
)
_ALONE = listed("ids alone")
_FIRST = frozenset(_WHOSE.split()) | _ALONE
_STARTS = tuple(sorted(listed("ids starts")))
_ENDS = ("nummer", "nummern", "nr", "ausweis", "id")
_GAP = (
    r"(?:[ \t.:\#=(/|'\"]|-(?!\d)|\b(?:is|was|are|number|numbers|no|nr|id|ids|ist|lautet|war|von|of|for|full"
    r"|should|be|wäre|korrekt"
    r"|neu|alt|old|new|nummer|nummern|card|record|insurance|security|file|ref|reference|code|num|s|licence"
    r"|license|holder|ident|account"
    r"|versicherung|karte|mit|der|die|the|my|meine|his|her|ihre|seine|rejects|says|shows|again|bitte|zum"
    r"|testen|als|ungültig|und|and)\b\.?){1,14}"
)
_VALUE = r"(?P<value>(?-i:[A-Za-z]{0,5}[-./ ]?\d(?:[ ./-]?[A-Z0-9]){2,22}|[A-Z](?:[ ]?[A-Z0-9]){4,20}))(?![\w])"
_SAID = re.compile(
    rf"(?i)[^\W\d_]+(?:-(?:nr|no|nummer|number|id|ids|karte|card|ausweis|ident))?(?!-[^\W\d_]){_GAP}{_VALUE}"
)
# More of the same kind, behind a comma or a word that joins.
_MORE = re.compile(
    r"\s{0,2}(?:,|;|/|und|and|&|or|oder|resp\.|bzw\.)\s{1,2}(?:(?:meine|und|die|neue|alte|my|his|her|the|old"
    r"|new|is|no|für|for)\s){0,2}(?P<value>[A-Za-z]{0,5}[-./]?\d(?:[ ./-]?[A-Z0-9]){3,22})(?!\w)"
)
_DATE = re.compile(
    r"\d{1,2}[./-]\d{1,2}[./-]\d{2,4}|\d{4}-\d\d-\d\d|\d{1,2}[./]\d{4}|\d\d/\d\d|[0-9A-Fa-f]{8}-.*|(?:19"
    r"|20)\d\d|\d{1,2}:\d\d|\d+\.\d+"
)
_CELL = re.compile(r"(?=.*\d{2})[A-Za-z0-9][A-Za-z0-9 ./-]{2,24}")
_COUNTRY = re.compile(r"\+\d{1,3}[ (]{0,2}$")
# Another word before the label: the id is of that.
_OTHER = re.compile(
    r"(?<![^\W_])(?!user|student|person|staff|employee|patient|member|customer|tax|national|card|with|mit|und"
    r"|and|the|my)[^\W_]{2,}[ -]$"
)
# With a form that little else has, or a checksum; the first character is one of few, by which it is soon found.
_FORMS = (
    (re.compile(r"\d(?<![\w-]\d)\d{2}-\d{2}-\d{4}(?![\w-])"), "us.ssn"),
    (re.compile(r"[A-Z](?<!\w.)[A-Z] ?\d{2} ?\d{2} ?\d{2} ?[A-D](?!\w)"), ""),
    (re.compile(r"7(?<![\w.].)56[. ]?\d{4}[. ]?\d{4}[. ]?\d{2}(?![\w])"), ""),
    (re.compile(r"\d(?<![\w]\d)\d ?\d{6} ?[A-Z] ?\d{3}(?!\w)"), ""),
    (re.compile(r"[A-Z](?<!\w.) ?\d{9}(?!\w)"), "kvnr"),
    (re.compile(r"[\dXYZ](?<!\w.)\d{7}-?[A-HJ-NP-TV-Z](?!\w)|\d(?<!\w.)\d{7}-?[A-HJ-NP-TV-Z](?!\w)"), "es.nif"),
    (re.compile(r"[12](?<!\w.) ?\d{2} ?(?:0[1-9]|1[0-2]) ?(?:\d{2}|2[AB]) ?\d{3} ?\d{3} ?\d{2}(?!\w)"), "fr.nir"),
    (re.compile(r"[A-Z](?<!\w.)[A-Z]{5}\d{2}[A-EHLMPR-T]\d{2}[A-Z]\d{3}[A-Z](?!\w)"), "it.codicefiscale"),
    (re.compile(r"[ACD](?<!\w.)(?:(?<=D)E|(?<=A)TU|(?<=C)HE-?)\d{8,9}(?!\w)"), ""),
    (re.compile(r"\d(?<![\w.,/-]\d)\d ?\d{3} ?\d{3} ?\d{3}(?![\w]|[.,/-]\d)"), "de.idnr"),
    (re.compile(r"\d(?<![\w.,/-]\d)\d{3} ?\d{6}(?![\w]|[.,/-]\d)"), "at.vnr"),
    (re.compile(r"\d(?<![\w.,/-]\d)\d{2} \d{3} \d{4}(?![\w]|[.,/-]\d)"), "gb.nhs"),
    (re.compile(r"\d(?<![\w.]\d)(?:\d{5}-\d{4}|\d{2}\.\d{3}\.\d{3}-\d{2})(?!\w)"), ""),
)


def ids(read: ReadText) -> Iterator[Located]:
    """Find numbers by what is said before them, and by their form."""
    for found in read.after(_is_label, _SAID):
        before = read.low[max(0, found.start() - 24) : found.start()]
        if OF_THINGS.search(before) or (found[0][:2].lower() == "id" and _OTHER.search(before)):
            continue
        at: re.Match[str] | None = found
        while at:
            value = at["value"].rstrip("./- ")
            if sum(each.isdigit() for each in value) > 3 and not _DATE.fullmatch(value):
                yield _id(at.start("value"), at.start("value") + len(value))
            more = _MORE.match(read.text, at.start("value") + len(value))
            # Another number, a telephone's for instance, may follow.
            at = more if more and abs(len(more["value"]) - len(value)) < 2 else None
    for cell in cells(read.text):
        is_of_ids = any(_is_label(word) for word in re.split(r"[\W_]+", cell.head))
        if is_of_ids and _CELL.fullmatch(read.text, cell.begin, cell.end):
            yield _id(cell.begin, cell.end)
    for form, rule in _FORMS:
        for found in form.finditer(read.text):
            before = read.low[max(0, found.start() - 24) : found.start()]
            if (not rule or check(rule)(found[0])) and not _COUNTRY.search(before) and not OF_THINGS.search(before):
                yield _id(*found.span())


def _is_label(word: str) -> bool:
    if word in _FIRST:
        return True
    return word.startswith(_STARTS) and (word.endswith(_ENDS) or word.removesuffix("s") in _STARTS)


def _id(begin: int, end: int) -> Located:
    return Located(begin, end, "ID")
