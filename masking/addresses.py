"""Postal addresses: from a number on, since each street and each town has one."""

import re
from collections.abc import Iterator

from masking.found import Located
from masking.lists import first_names, unsure_names, words
from masking.people import spelled
from masking.reading import ReadText

_CAP = r"[^\W\d_a-zß-öø-ÿ][\w'’.-]{0,30}"
_LETTERS = r"[^\W\d_a-zß-öø-ÿ](?:[^\W\d_]|['’-]){0,30}(?!\w)"
_TOWN = (
    rf"(?:St\.? )?{_LETTERS}(?:[ /-](?:am|an|der|dem|im|in|bei|ob|i\.|a\.|b\.|d\.|on|upon|the|of|della|del|de"
    rf"|la|le|sur|y|E\."
    rf"|{_LETTERS})(?!\w)){{0,4}}(?: \([^\W\d_]{{2,20}}\))?"
)
_KINDS = (
    r"Street|St|Road|Rd|Avenue|Ave|Lane|Ln|Drive|Dr|Court|Ct|Close|Crescent|Cres|Terrace|Place|Pl|Square|Sq"
    r"|Way|Boulevard|Blvd|Parkway|Pkwy|Highway|Hwy|Mews|Grove|Gardens|Gate|Row|Walk"
    r"|Hill|Park|Green|Rise|View|Quay|Wharf|Yard|Circle|Cir|Trail|Loop|Pike|Heights|Embankment|Parade|Estate"
    r"|Broadway|Marg|Nagar|Colony|Bypass|Vale|Mount|Croft|Drove|Strand|Wynd|Brae|Turn|Chase|End|Fold|Lea|Meadow|Meadows"
)
_NUMBER = r"\d{0,4}(?:[ ]?[a-zA-Z](?!\w))?(?:[ ]?[-/–+][ ]?\d{1,4}[a-zA-Z]?(?!\w)){0,3}"
_CODE = (
    r"[A-Z]{1,2}\d[A-Z\d]? ?\d[A-Z]{2}|[A-Z]{2} \d{5}(?:-\d{4})?|[A-Z]{2} [A-Z]\d[A-Z] ?\d[A-Z]\d"
    r"|[A-Z]\d[A-Z] ?\d[A-Z]\d|[A-Z]\d\d [A-Z\d]{4}|\d{4,6}(?!\w)"
)
_STREET = re.compile(
    rf"\d(?<![\w./:#-]\d){_NUMBER},? (?:{_CAP} ){{1,4}}(?:{_KINDS})(?!\w)\.?(?: (?:North|South|East|West"
    rf"|[NSEW]{{1,2}})(?!\w))?"
    rf"(?:,? (?:Apt|Suite|Ste|Unit|Floor|Flat|\#)\.? ?[\w-]{{1,6}})?(?:,? {_TOWN})?(?:, ?{_TOWN}){{0,2}}(?:,? "
    rf"(?:{_CODE})(?!\w))?"
)
# A house or a flat before the number of the street.
_NAMED = (
    r"(?:House|Hall|Court|Building|Tower|Towers|Mill|Centre|Center|Barn|Lodge|Hospital|Campus|Cottage|Farm"
    r"|School|College|Works|Estate|Park|Plaza|Bungalow|Manor|Vicarage|Rectory|Manse|Parsonage|Priory|Grange)"
)
_OF_ADDRESS = re.compile(rf"\d|(?<!\w)(?:{_NAMED}|{_KINDS})(?!\w)")
_HOUSE = re.compile(
    rf"(?:(?:(?:Flat|Unit|Apt|Apartment|Suite|Room|Block|Plot) [\w-]{{1,6}}|(?:{_CAP} ){{1,3}}{_NAMED}), ){{1,3}}$"
)
_TWICE = re.compile(rf"(?<= ){_NAMED} (?=(?:{_CAP} ){{1,2}}{_NAMED},)")
_POSTCODE = re.compile(
    r"[A-Z](?<!\w.)(?:[A-Z]?\d[A-Z\d]? ?\d[A-Z]{2}|(?:(?<=A)[LKZR]|(?<=C)[AOT]|(?<=D)[EC]|(?<=F)L|(?<=G)A"
    r"|(?<=H)I|(?<=I)[DLNA]|(?<=K)[SY]|(?<=L)A|(?<=M)[EDAINSOT]|(?<=N)[EVHJMYCD]|(?<=O)[HKR]|(?<=P)[AR]"
    r"|(?<=R)I|(?<=S)[CD]|(?<=T)[NX]|(?<=U)T|(?<=V)[TA]|(?<=W)[AVIY]),? \d{5}(?:-\d{4})?|\d[A-Z] ?\d[A-Z]\d"
    r"|\d\d [A-Z\d]{4})(?!\w)"
)
_PART = re.compile(
    rf"(?:\d{{1,5}}[a-zA-Z]? )?(?:{_CAP}|y|of|the|on|le|la|upon|under|de)(?: (?:{_CAP}|y|of|the|on|le|la|upon"
    rf"|under|de|\d{{1,4}}[a-z]?)){{0,4}}"
)
# The end of a part that begins with other words: "collect from 8 Quarry Bank", "deliver to Unit 4".
_TAIL = re.compile(rf"(?<![\w.,/:-])(?:\d{{1,5}}[a-zA-Z]?(?: {_CAP}){{1,3}}|{_CAP} \d{{1,4}})$")
_CELL_END = re.compile(r"[\n;|:\t(]|,(?! )")
# A street as German has them, before its number.
_ENDS = (
    "straße|strasse|gass|str\\.|str|gasse|weg|allee|platz|ring|ufer|damm|chaussee|steig|stieg|promenade|markt"
    "|graben|kai|hof|berg|feld|park|tor|wall|zeile|rain|winkel|brücke|gässli|matte|halde|bühl"
)
_GERMAN = re.compile(
    rf"(?:(?:[A-ZÄÖÜ][\wäöüß.]{{1,30}}[ -]){{0,3}}[A-ZÄÖÜ]?[a-zäöüß]{{1,30}}(?:{_ENDS})"
    rf"|(?:[A-ZÄÖÜ][\wäöüß.]{{1,30}}[ -]){{1,3}}(?:Straße|Strasse|Str\.|Weg|Platz|Allee|Gasse|Ring|Ufer|Damm"
    rf"|Markt|Hof)"
    rf"|(?:Am|An|Im|In|Auf|Zum|Zur|Unter|Hinter|Vor)(?: der| den| dem| die)?(?: (?:Alten|Neuen|Hohen|Großen"
    rf"|Kleinen|Langen|Oberen|Unteren))? [A-ZÄÖÜ][\wäöüß-]{{2,30}}|[CELMNOPQ]\d?, ?\d"
    rf"|(?:[A-Z][\wäöüß.]{{1,20}}[- ]){{1,2}}Str\.) $"
)
_NUMBERED = re.compile(
    rf" (?=\d) \d{_NUMBER}".replace(" (?=\\d) ", " (?=\\d)")
    + r"(?!\w|\.\d|:\d|,\d|%| ?(?:Uhr|EUR|Euro|€|MB|GB|Stück|min|Tage|x|Personen|ist|sind|geht|hat))"
)
_GERMAN_END = re.compile(
    rf"(?: (?:OT|Ortsteil|OG) {_CAP})?(?:,? (?:Top|Whg|Haus|Stiege|Tür|App)\.? ?\d+)?"
    rf"(?:, |,| - | |/ )(?:[A-Z]{{1,2}}-)?\d{{4,5}} (?:{_TOWN}"
    rf"|[a-zäöüß]{{3,20}})"
)
_PLACE = re.compile(
    rf"[\dACDL](?<![\w.,/:#+-].)(?:(?:(?<=[ADL])|(?<=C)H)-\d{{4,5}}|\d{{4}}|\d{{3}}(?=[^\d])) {_TOWN}(?!\w)"
)
_BOX = re.compile(rf"P(?<!\w.)(?:\.? ?O\.? Box|ostfach) \d[\d ]{{0,8}}(?:, ?(?:\d{{4,5}} )?{_TOWN})?")
_FRENCH = re.compile(
    rf"\d(?<![\w.]\d)\d{{0,3}}(?: ?(?:bis|ter))?,? (?:rue|avenue|av\.|boulevard|bd|place|chemin|allée|impasse"
    rf"|quai|route)(?: (?:de|du|des|la|le|les)| (?:l'|d')| ){{0,3}}{_CAP}(?:[ -]{_CAP}){{0,3}}"
    rf"(?:, (?:bureau|app\.?|apt|appartement|étage|bâtiment|suite) ?\w{{1,6}})?"
    rf"(?:,? \d{{5}} {_TOWN}|, {_TOWN}(?:,? [A-Z]\d[A-Z] ?\d[A-Z]\d(?!\w))?)?"
)
# A line with a number, above that of the town.
_LINED = re.compile(
    rf"[^\W\d_](?<=\n.)[\w'’.-]{{2,30}}(?: {_CAP}){{0,3}} \d{{1,4}}(?: ?[a-z])?"
    r"(?=\n(?:[A-Z]{1,2}-)?\d{4,5} [A-ZÄÖÜ])"
)
_ROMANCE = re.compile(
    rf"[VPCAR](?<!\w.)(?:ia|iale|iazza|orso|alle|/|venida|vda\.?|laza|aseo|ua) (?:(?:de|del|della|dei|la|las"
    rf"|los) ){{0,2}}{_CAP}(?: (?:de )?{_CAP}){{0,3}},? \d{{1,4}}(?!\w)(?:, ?\d{{1,2}}º ?\w?)?(?:,? \d{{5}} "
    rf"{_TOWN})?"
)


# Any street of any language, by the number, the code and the town that follow it.
_TOWNED = re.compile(rf"\d(?<=[ ].)\d{{0,3}}[a-zA-Z]?(?:[-/]\d{{1,3}})?, (?:[A-Z]{{1,2}}-)?\d{{4,5}} {_TOWN}")
_ANY = re.compile(
    rf"{_CAP}(?: (?:{_CAP}|de|du|des|la|le|les|del|della|di|da|do|út|utca|ul|der|den|dem|am|an)){{0,3}} $"
)
_NAMED_HOUSE = re.compile(rf"(?:{_LETTERS} ?){{1,4}}, $")


def addresses(read: ReadText) -> Iterator[Located]:
    """Find addresses, each line by itself."""
    if not read.has_digit:
        return
    for begin, end in _spans(read.text):
        yield Located(begin, begin + len(read.text[begin:end].rstrip(" ,")), "ADDRESS")


def _spans(text: str) -> Iterator[tuple[int, int]]:
    for found in _STREET.finditer(text):
        yield _house(text, found.start()), found.end()
    for found in _POSTCODE.finditer(text):
        if found[0][-5:].isdigit() and text[found.start() - 2 : found.start()] != ", ":
            continue
        if (begin := _parts_before(text, found.start())) is not None:
            yield (begin, found.end())
    for found in _NUMBERED.finditer(text):
        if not (text[found.start() - 1 : found.start()].isalpha() or text[found.start() - 1] in ".),"):
            continue
        before = text[max(0, found.start() - 64) : found.start() + 1]
        if street := _GERMAN.search(before.rpartition("\n")[2]):
            end = _GERMAN_END.match(text, found.end())
            yield (found.start() + 1 - len(street[0]), end.end() if end else found.end())
    for found in _TOWNED.finditer(text):
        if street := _ANY.search(
            _CELL_END.split(text[max(0, found.start() - 60) : found.start()])[-1].rpartition(", ")[2]
        ):
            yield (found.start() - len(street[0]), found.end())
    for form in (_BOX, _FRENCH, _ROMANCE, _LINED):
        yield from (found.span() for found in form.finditer(text))
    yield from (found.span() for found in _PLACE.finditer(text) if _is_place(text, found))


def _house(text: str, begin: int) -> int:
    before = _CELL_END.split(text[max(0, begin - 80) : begin])[-1]
    found = _HOUSE.search(before.rpartition(". ")[2])
    if found:
        # Of two houses beside each other the last one is part of it: "Tamsin Elm House Elm House, 6 Mill Lane".
        earlier = list(_TWICE.finditer(found[0]))
        return begin - len(found[0]) + (earlier[-1].end() if earlier else 0)
    # A house with a name, where nothing else stands before it.
    is_house = (
        _NAMED_HOUSE.fullmatch(before.lstrip(" ")) and spelled(before.split()[0]) not in first_names() | unsure_names()
    )
    return begin - len(before.lstrip(" ")) if is_house else begin


def _parts_before(text: str, at: int) -> int | None:
    """Return where the address begins that ends with a postcode: at the first part that can be one of it."""
    before = _CELL_END.split(text[max(0, at - 120) : at])[-1].rpartition(". ")[2]
    parts = before.lstrip(" ").split(", ")
    if not parts[-1].strip():
        parts = parts[:-1]
    kept = 0
    while kept < min(len(parts), 5) and _PART.fullmatch(parts[-1 - kept].strip()):
        kept += 1
    # A name may stand before it.
    while kept > 1 and not _OF_ADDRESS.search(parts[-kept]) and (kept > 2 or _OF_ADDRESS.search(parts[-kept + 1])):
        kept -= 1
    begin = before.rfind(", ".join(parts[len(parts) - kept :])) if kept else len(before)
    # One more may end with a house's number and its street.
    if 0 < kept < len(parts) and (tail := _TAIL.search(parts[-1 - kept])):
        begin = before.rfind(parts[-1 - kept], 0, begin) + tail.start()
    if twice := _TWICE.search(before, begin):
        begin = twice.end()
    return at - len(before) + begin if kept else None


def _is_place(text: str, found: re.Match[str]) -> bool:
    """Return True for a town with its code: of five digits, or on a line by itself or behind a street."""
    code, _, town = found[0].partition(" ")
    before = text[max(0, found.start() - 2) : found.start()]
    is_begun = not before or before[-1] == "\n" or before == ", "
    is_town = spelled(town.partition(" ")[0]) not in words() or is_begun
    if len(code.rpartition("-")[2]) == 5 or "-" in code:
        return is_town
    ended = text[found.end() : found.end() + 1]
    return is_begun and before[-1:] == "\n" and ended in {"", "\n", ","} and not code.startswith(("19", "20"))
