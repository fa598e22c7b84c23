"""Passwords, PINs, codes: what a text says to be one, and what looks like one where it speaks of them."""

import re
from collections.abc import Iterator

from masking.found import Located
from masking.lists import listed, words
from masking.reading import ReadText
from masking.things import OF_THINGS

_STRONG = listed("said_secrets strong")
_STRONG_ENDS = (
    "passwort",
    "kennwort",
    "passwörter",
    "kennwörter",
    "schlüssel",
    "password",
    "passwd",
    "secret",
    "token",
    "key",
)
_NUMERIC = listed("said_secrets numeric")
_NUMERIC_ENDS = ("pin", "puk", "code", "codes", "tan")
# What else has a code or a key.
_OF_THINGS = re.compile(
    r"(?:error|err|fehler|exit|status|event|stop|reason|post|postal|zip|country|area|source|qr|bar|return"
    r"|response|rückgabe|vorwahl|http|smtp|activity|cost|"
    r"product|ländercode|abbruch|dress|bug|sort|swift|ifsc|bic|hot|primary|foreign|registry|public|host|enter"
    r"|function|arrow|shift|ctrl|alt|windows|any|of)[\s-]{0,2}$"
)
_THINGS = (
    "fehlercode",
    "quellcode",
    "barcode",
    "qrcode",
    "postcode",
    "zipcode",
    "statuscode",
    "errorcode",
    "stopcode",
    "spin",
    "monkey",
    "hotkey",
    "turkey",
    "whiskey",
    "decode",
    "encode",
    "unicode",
    "geocode",
    "sourcecode",
    "vscode",
)
_IS = (
    r"(?:is|was|are|were|lautet|lautete|lauten|ist|sind|war|waren|wäre|now|jetzt|nun|noch|to|auf|set|heißt"
    r"|heisst|still|immer|es|vom|von|für|for|of|of\sthe|given|neu|neue|neues|new|old|alt|one|should\sbe"
    r"|went\sto|with|mit)"
)
_GAP = re.compile(
    rf"(?i)(?:[\s\"'(„“»`*\[]{{0,3}}(?:[:=#]|->|=>|[–-](?=\s))[\s\"'(„“»`*]{{0,4}}|[\s\"'(„“»`*]{{1,3}}"
    rf"(?:{_IS}\s?:?[\s\"'(„“»`*]{{1,3}}){{0,4}})"
)
_SAYS = re.compile(r"(?i)[:=]|->|=>|\b(?:is|was|are|lautet|lautete|ist|war|to|auf)\b")
_VALUE = re.compile(r"[^\s\"“”„«»`⟦⟧]{3,200}")
_NEAR_VALUE = re.compile(r"[^\s\"“”„«»`⟦⟧,;|]{3,200}")
_NUMBER = re.compile(
    r"\d(?<![\w.,:/-]\d)(?:[ -]?\d){2,9}(?![\w%]|[.,:/-]\d|\s?(?:mal|times|min|minutes|minuten|sek|h|uhr"
    r"|digits|stellen|stellig|zeichen|characters|chars|tage|days|eur|users?|stück)\b)",
    re.IGNORECASE,
)
_CODED = re.compile(r"[A-Z0-9]{1,6}-?[A-Z0-9]{2,8}(?:-[A-Z0-9]{2,8}){0,4}(?!\w)")
_JOINED = re.compile(r"[A-Z0-9](?<!\w.)[A-Z0-9]{1,5}-[A-Z0-9]{3,8}(?:-[A-Z0-9]{2,8}){0,4}(?!\w)")
# A code's number is what is looked for here.
_OF_OTHERS = OF_THINGS.pattern.replace("|code|", "|")
_COUNTED = re.compile(rf"(?:{_OF_OTHERS})|(?:\berr|\breturns|\bhttp|\berror|#)[\s.:#(]{{0,3}}$")
_KNOWN = re.compile(r"[0-9A-F]{8}(?:-[0-9A-F]{4}){2,3}.*|S-1-.*|.*20\d\d-\d\d.*")
# Word2024 is a password, Windows11 is none.
_NAMED = re.compile(r"([A-Za-z]{3,12})-?\d{1,2}")
# "The password on the copier is 778812".
_NUMBERED = re.compile(
    r"[^\n.:;?!]{0,40}?(?:(?<![^\W_])(?:is|was|ist|war|lautet|noch)\s|:\s?)(\d(?:[ -]?\d){3,19}[#*]?)(?![\w:/]|\.\d)"
)
_HEX = re.compile(r"[^\n;?!]{0,40}?:\s?([0-9a-fA-F]{20,128})(?!\w)")
_TRAILING = ".,;:)]}>"
_DATED = re.compile(
    r"[(\[]?(?:\d{1,4}[./:-]\d{1,2}(?:[./:-]\d{1,4})?|v?\d+(?:\.\d+)+|\d{1,2}:\d\d(?::\d\d)?(?:am|pm|h)?"
    r"|\d+(?:\.\d)?(?:%|[a-zA-Z]{1,3}|min|GB|MB|px|st|nd|rd|th)?|0x[0-9a-fA-F]+|\d+x|x\d+|\d+er|\d+/\d+)[)\]]?"
)
_CODE = re.compile(
    r"[A-Z]{1,6}[-_]?\d+[A-Za-z]?|[A-Z0-9]{2,6}(?:-[A-Z0-9]{2,6}){0,2}|\[.*|\\\\.*|.*\\.*|.*://.*"
    r"|.*@[\w-]+\.\w.*|[\w-]+(?:\.[\w-]+)*\.(?:exe|com|de|net|org|local|lan|intern|dll|txt|docx?|xlsx?|pdf|log"
    r"|ps1|json|xml|io|co)\b.*|/.*|[0-9a-f]{16,64}"
    r"|[a-z]{1,3}-?\d{1,2}|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){2,3}(?:-.*)?|S-1-[\d-]*|ssh-\w+"
    r"|AAAA[\w+/=]*|[A-Z][a-z]+\d+(?:/\d+)+|(?:[\w-]+\.){2,}[a-zA-Z]{2,}|office365|o365|m365|win1[01]|\w+=.*"
    r"|\#\d+|[A-Z][\w]*/[A-Z].*|.*\w\(.*"
)
_ASSIGNED = re.compile(r"""["']?\s?[=:]\s?(?:"([^"\n]{3,200})"|'([^'\n]{3,200})'|([^\s"',;&<>]{3,200}))""")
_LONG = 60
_AROUND = 170


def assigned_secrets(read: ReadText) -> Iterator[Located]:
    """Find what is set to be a secret, as settings and connection strings have it, and what is said to be one."""
    at = 0
    for word, begin, end in read.words:
        if begin < at or not _is_strong(word) or _is_of_things(read, word, begin):
            continue
        value = _ASSIGNED.match(read.text, end)
        span = (
            value.span(value.lastindex or 0) if value and word not in {"wifi", "login", "logins", "community"} else None
        )
        if span:
            stripped = read.text[span[0] : span[1]].rstrip(_TRAILING)
            if _is_like(stripped) or not _is_word(stripped):
                at = span[0] + len(stripped)
                yield Located(span[0], at, "SECRET")
                continue
            # A long row of words is looked at once.
            at = span[0] + len(stripped) if len(stripped) > _LONG else at
        if (direct := _direct(read, end)) is not None:
            at = direct.end
            yield direct


def said_secrets(read: ReadText) -> Iterator[Located]:
    """Find codes behind words for them, and what looks like a secret in the same lines."""
    until = 0
    labels = [
        each
        for each in read.words
        if (_is_strong(each[0]) or _is_numeric(each[0])) and not _is_of_things(read, *each[:2])
    ]
    for place, (word, _, end) in enumerate(labels):
        following = labels[place + 1][1] if place + 1 < len(labels) else len(read.text)
        for form in (_NUMBERED, _HEX) if _is_strong(word) else (_NUMBERED,):
            if told := form.match(read.text, end):
                yield Located(*told.span(1), "SECRET")
        if _is_numeric(word):
            yield from _codes(read, end, min(following, end + 60))
        begin = max(end, until)
        stop = end + _AROUND
        while begin < min(following, stop) and (value := _NEAR_VALUE.search(read.text, begin, min(following, stop))):
            begin = value.end()
            stripped = value[0].strip(_TRAILING + "([{'")
            at = value.start() + value[0].find(stripped)
            if len(stripped) > 5 and _is_like(stripped):
                # A list of them goes on.
                stop = begin + _AROUND
                yield Located(at, at + len(stripped), "SECRET")
        until = begin


def _is_strong(word: str) -> bool:
    return word in _STRONG or (word.endswith(_STRONG_ENDS) and word not in _THINGS)


def _is_numeric(word: str) -> bool:
    return word in _NUMERIC or (len(word) > 4 and word.endswith(_NUMERIC_ENDS) and word not in _THINGS)


def _is_of_things(read: ReadText, word: str, begin: int) -> bool:
    return word in _THINGS or bool(_OF_THINGS.search(read.low, max(0, begin - 14), begin))


def _direct(read: ReadText, at: int) -> Located | None:
    """Find what is said to be the secret, right behind the word for it."""
    gap = _GAP.match(read.text, at)
    value = gap and _VALUE.match(read.text, gap.end())
    if not gap or not value:
        return None
    stripped = value[0].rstrip(_TRAILING + "'")
    is_said = bool(_SAYS.search(gap[0]))
    is_coded = _CODED.fullmatch(stripped) and any(each.isdigit() for each in stripped)
    if (
        _is_like(stripped)
        or is_coded
        or (stripped.isdigit() and 3 < len(stripped) < 13)
        or (is_said and len(stripped) > 3 and not _is_word(stripped))
    ):
        return Located(value.start(), value.start() + len(stripped), "SECRET")
    return None


def _codes(read: ReadText, begin: int, end: int) -> Iterator[Located]:
    for found in _NUMBER.finditer(read.text, begin, end):
        if not re.fullmatch(r"(?:19|20)\d\d", found[0]) and not _COUNTED.search(
            read.low, max(0, found.start() - 24), found.start()
        ):
            yield Located(*found.span(), "SECRET")
    for found in _JOINED.finditer(read.text, begin, end):
        is_mixed = any(re.search(r"\d[A-Z]|[A-Z]\d", part) for part in found[0].split("-")) or found[0].count("-") > 1
        if is_mixed and any(each.isdigit() for each in found[0]) and not _KNOWN.fullmatch(found[0]):
            yield Located(*found.span(), "SECRET")
    gap = _GAP.match(read.text, begin)
    coded = _CODED.match(read.text, gap.end()) if gap else None
    if coded and any(each.isdigit() for each in coded[0]):
        yield Located(*coded.span(), "SECRET")


def _is_like(value: str) -> bool:
    """Return True if letters, digits and other characters are mixed as they are in a secret, and not in a code."""
    if len(value) < 4 or _DATED.fullmatch(value) or _CODE.fullmatch(value):
        return False
    if re.fullmatch(r"\d{4,8}[#*]", value):
        return True
    if not any(each.isdigit() for each in value):
        value = value.rstrip("!?*")
    if (named := _NAMED.fullmatch(value)) and named[1].lower() in words():
        return False
    letters = sum(each.isalpha() for each in value)
    digits = sum(each.isdigit() for each in value)
    if letters and digits:
        return True
    return bool(
        letters and len(value) > letters and any(each in "!#$%&*+=?@^~" for each in value[:-1]) and not value.isupper()
    )


def _is_word(value: str) -> bool:
    small = value.lower().strip("!?*'")
    parts = [part for part in re.split(r"[^\w]+", small) if part]
    return (
        not parts
        or all(part in words() or not part.isascii() for part in parts)
        or value.startswith(("[", "<", "$", "{", "%", "*"))
    )
