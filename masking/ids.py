"""Numbers that stand for a person: of a state with their checksums, and what is said to be one."""

import re
from collections.abc import Iterator

from masking.found import Located
from masking.id_forms import formed
from masking.id_labels import DOCUMENTS, IdLabel, is_bare, is_label, labels
from masking.named_numbers import named_numbers
from masking.reading import ReadText
from masking.things import OF_THINGS

_FEW, _MANY, _LONG = 3, 4, 10
"""So many digits has a number at least, behind a label that is explicit and behind another."""
_VALUE = (
    r"(?P<value>(?:(?:[A-Z]{1,5}[./-]){1,2}|[A-Z]{1,6} |[A-Za-z]{1,6}[./-]{0,2})?"
    r"\d(?:(?: (?=[A-Z]?\d|[A-Z](?!\w))|[./-])?[A-Z0-9]){2,24}(?:\([\dA]\))?|[A-Z](?: ?[A-Z0-9]){4,20})(?!\w)"
)
_MARKS = r"[ \t.:\#=(/|'\"<>\[\]]|-(?!\d)"
_IS = r"is|was|are|ist|lautet|lauten|war|sind|be|should|wäre|hier|now|jetzt|neu|alt|old|new"
_BETWEEN = (
    rf"{_IS}|number|numbers|no|nr|id|ids|von|vom|of|for|from|full|korrekt|nummer|nummern|card|record|insurance|security"
    r"|file|ref|reference|code|num|licence|license|holder|ident|account|certificate|permit|versicherung|karte"
    r"|zahl|mit|der|die|the|my|meine|his|her|ihre|seine|kind|child"
    r"|rejects|says|shows|again|bitte|zum|testen|als|as|ungültig|und|and|last|four|on|in|app|not|found|nicht|für"
)
# Behind a label that may mean something else as well, less may stand between.
_CLOSE = rf"{_IS}|record|card|karte|account|akte|number|nummer|id|no|nr|mit|with|der|the"
_SURE_GAP = re.compile(rf"(?i:['’]s(?= ))?(?:{_MARKS}|,(?= )|(?i:\b(?:{_BETWEEN})\b)\.?){{1,14}}{_VALUE}")
_GAP = re.compile(rf"(?:[ :\#=('\"\[>]|-(?!\d)|(?i:\b(?:{_CLOSE})\b)\.?){{1,8}}{_VALUE}")
# The answer is on a line by itself, in a chat behind who says it.
_NEXT = re.compile(
    r"[^\n\d]{0,60}\n[> \t]{0,8}(?:[^\n|;]{1,40}?[:>][ \t]{1,2})?"
    rf"(?:(?i:it's|it is|is|das ist|ist|es ist|meine ist|mine is) )?{_VALUE}(?=[ .,!)]{{0,2}}(?:\n|$))"
)
# "The passport of the guest in 204 is C01X00T47."
_TOLD = re.compile(
    rf"\.?(?:[A-Z][a-z]{{1,3}}\. |[^\n.;:?!]){{0,50}}?(?:[ ,](?:is|was|ist|war|lautet|lautete|richtig|correct) |: ?)"
    rf"{_VALUE}"
)
# A document's number has letters and digits, wherever it stands in the line: "wrong passport. On the document: ..."
_DOCUMENT = re.compile(
    r"[^\n]{0,50}?(?<![\w-])(?P<value>(?:[A-Z]{1,3}\d{6,8}|(?=[A-Z\d]{0,7}\d[A-Z])[CFGHJKLMNPRTVWXYZ\d]{9}))(?![\w-])"
)
# Behind a name: "our member Carl Osei (M-77201)".
_NAMED = re.compile(rf" (?:[^\W\d_a-z][\w'’.-]{{0,20}} ){{1,3}}\({_VALUE}\)")
# "the membership number of the club 204418"
_OF_WHAT = re.compile(
    r" (?i:of|for|at|on|with|auf|von|des|der|vom|im|in|beim|bei|für) (?:(?i:the|his|her|my|der|dem|den|die) )?"
    r"[^\W\d][\w-]{1,20}"
    rf"(?: [^\W\d][\w-]{{1,20}})? {_VALUE}"
)
# It stands before: "20417 is her staff number", "(20417, staff no.)".
_BEFORE = re.compile(
    rf"(?<![\w.,/-]){_VALUE}(?: ?[,(/] ?\(?| (?:is|ist|as|als|was|war|=|-) )"
    r"(?:(?:his|her|my|the|their|your|our|a|an|meine|seine|ihre|die|der|das|new|neue|old|alte|correct|richtige) ){0,2}$"
)
# More of the same kind, behind what joins.
_MORE = re.compile(
    r"\s{0,2}(?:\([^()\n]{0,30}\)\s{0,2})?"
    r"(?:[,;/&.+]|->|=>|(?i:\b(?:und|and|or|oder|resp|bzw|sowie|to|auf|duplicate|not|nicht|hers|his|hat)\b)\.?)"
    r"[\s\"']{0,2}"
    r"(?:(?i:\b(?:meine|und|and|die|das|der|neue|neuer|neu|alte|my|his|her|hers|the|old|new|one|is|ist|no|nr|für|for|of"
    rf"|now|jetzt|nun|to|auf|mine)\b)\.?:?[ \"']{{1,2}}){{0,4}}{_VALUE}"
)
_DATE = re.compile(
    r"\d{1,2}[./-]\d{1,2}[./-]\d{2,4}|\d{4}-\d\d-\d\d|\d{1,2}[./]\d{4}|\d\d/\d\d|[0-9A-Fa-f]{8}-[0-9a-fA-F]{4}-.*"
    r"|(?:19|20)\d\d|\d{1,2}:\d\d|\d{1,4}\.\d{1,2}"
)
_TWO_WORDS = re.compile(r"[A-Z]{2,6} ")
_VERSION = re.compile(r"\d{1,8}(?:\.\d{1,8}){2,4}")
# It counts what follows.
_COUNT = re.compile(
    r"\s?(?:%|€|\$|(?:users?|records?|rows?|employees|customers|clients|patients|members|students|staff|people"
    r"|licen[cs]es"
    r"|times|eur|euro|usd|gbp|chf|ms|sec|mb|gb|kb|days|years|hours|minutes|orders|entries|items|kunden|mitarbeiter\w*"
    r"|patienten|mitglieder|personen|nutzer|benutzer|studenten|schüler|datensätze|einträge|mal|tage|jahre|stunden|stück"
    r"|lizenzen|zeilen|uhr)(?![^\W_]))"
)
_TELEPHONE = re.compile(r"\+|0\d{1,12}[ /-]|\(0")
_CELL = re.compile(r"(?=.*\d{2})[A-Za-z0-9][A-Za-z0-9 ./-]{2,24}")


def ids(read: ReadText) -> Iterator[Located]:
    """Find numbers by what is said beside them, and by their form."""
    if not read.has_digit:
        return
    is_labelled = False
    for label in sorted(labels(read)):
        is_labelled = is_labelled or label.is_sure or label.is_numbered
        if not OF_THINGS.search(read.low, max(0, label.begin - 24), label.begin):
            yield from _said(read, label)
    yield from map(_of, read.after(DOCUMENTS, _DOCUMENT))
    for cell in read.cells:
        is_one = is_label(cell.head) or (cell.is_named and is_bare(cell.head))
        if is_one and _CELL.fullmatch(read.text, cell.begin, cell.end):
            yield _id(cell.begin, cell.end)
    yield from (_id(*span) for span in formed(read))
    yield from (_id(*span) for span in named_numbers(read, is_labelled=is_labelled))


def _said(read: ReadText, label: IdLabel) -> Iterator[Located]:
    """Find the value of a label, and more of its kind that follow."""
    at = (_SURE_GAP if label.is_sure else _GAP).match(read.text, label.end)
    if at and not _is_value(read, at, label):
        at = None
    for form in () if at else (_TOLD, _OF_WHAT, _NEXT) if label.is_sure else (_NAMED,):
        at = at or form.match(read.text, label.end)
        if at and (not _is_value(read, at, label) or _TELEPHONE.match(at["value"])):
            at = None
    if not at and label.is_numbered:
        at = _BEFORE.search(read.text, max(0, label.begin - 50), label.begin)
        if (
            at
            and _is_value(read, at, label)
            and not OF_THINGS.search(read.low, max(0, at.start() - 24), at.start("value"))
        ):
            yield _of(at)
        return
    while at:
        yield (value := _of(at))
        length = value.end - value.begin
        more = _MORE.match(read.text, value.end)
        # Another number, a telephone's for instance, may follow.
        is_alike = more and abs(len(more["value"].rstrip("./- ")) - length) < 2 and _is_value(read, more, label)
        at = more if is_alike else None


def _is_value(read: ReadText, found: re.Match[str], label: IdLabel) -> bool:
    value = found["value"].rstrip("./- ")
    least = _FEW if label.is_numbered else _MANY
    if sum(each.isdigit() for each in value) < least or _DATE.fullmatch(value):
        return False
    if label.is_numbered:
        return True
    if not label.is_sure and _TWO_WORDS.match(value):
        return False
    is_version = bool(_VERSION.fullmatch(value)) and sum(map(str.isdigit, value)) < _LONG
    return not is_version and not _COUNT.match(read.low, found.start("value") + len(value))


def _of(found: re.Match[str]) -> Located:
    begin = found.start("value")
    return _id(begin, begin + len(found["value"].rstrip("./- ")))


def _id(begin: int, end: int) -> Located:
    return Located(begin, end, "ID")
