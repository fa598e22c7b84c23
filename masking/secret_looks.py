"""How a secret looks: letters, digits and other characters mixed as no word, code or date has them."""

import re

from masking.lists import first_names, listed, surnames, unsure_names, words
from masking.people import spelled

# What is said of a password: that it is wrong, expired, needed.
_PLAIN = listed("secret_looks plain")
# Word2024 is a password, Windows11 is none.
_NAMED = re.compile(r"([A-Za-z]{3,12})-?\d{1,2}")
_DATED = re.compile(
    r"[(\[]?(?:\d{1,4}[./:-]\d{1,2}(?:[./:-]\d{1,4})?|v?\d+(?:\.\d+)+|\d{1,2}:\d\d(?::\d\d)?(?:am|pm|h)?"
    r"|\d+(?:\.\d)?(?:%|[a-zA-Z]{1,3}|min|GB|MB|px|st|nd|rd|th)?|0x[0-9a-fA-F]+|\d+x|x\d+|\d+er|\d+/\d+)[)\]]?"
)
_CODE = re.compile(
    r"[A-Z]{1,6}[-_]?\d+[A-Za-z]?|[A-Z0-9]{2,6}(?:-[A-Z0-9]{2,6}){0,2}[!?]?|\[.*|\\\\.*|.*\\.*|.*://.*"
    r"|.*@[\w-]+\.\w.*|[\w-]+(?:\.[\w-]+)*\.(?:exe|com|de|net|org|local|lan|intern|dll|txt|docx?|xlsx?|pdf|log"
    r"|ps1|json|xml|io|co)\b.*|/.*|[0-9a-f]{16,64}"
    r"|[a-z]{1,3}-?\d{1,2}|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){2,3}(?:-.*)?|S-1-[\d-]*|ssh-\w+"
    r"|AAAA[\w+/=]*|[A-Z][a-z]+\d+(?:/\d+)+|(?:[\w-]+\.){2,}[a-zA-Z]{2,}|office365|o365|m365|win1[01]|\w+=.*"
    r"|\#\d+|[A-Z][\w]*/[A-Z].*|.*\w\(.*|[A-Za-z]+:\w+/.*"
    r"|(?i:sha\d+|md5):.*|\d+@\w+|[&?]\w+=.*|.*</.*"
    r"|(?i:ctrl|strg|alt|shift|umschalt|cmd|win)\+.*|\{.*|[0-9A-F]{8}-|.*&[a-z]{2,5}|[\w.-]+\[\d*|[\w.-]+:\d{1,5}"
    r"|%[A-Z]+-\d-\w+"
    r"|\d{4}-\d\d-\d\dT.*|[A-Z]{1,6}(?:-\d{1,10}){2,3}|\d-[a-z]{3,20}|([A-Za-z]{1,12})\d{1,4}-\1\d{1,4}|.*@"
    r"|(?:phase|stage|step|level|tier|layer|ring)\d.*|(?:[a-z]{2,8}-){1,2}(?:north|south|east|west|central)[a-z]{0,9}-?\d[a-z]?"
    r"|[A-Z]{2,8}(?:_[A-Z0-9]{1,20}){1,6}|\d\d:\d\d:\d\d\w*|(?:[0-9a-fA-F]{2}[:-]){5}[0-9a-fA-F]{2}"
)
_NUMBERED_WORD = re.compile(r"[A-Z][A-Za-z]{2,11}[-_]?\d{3,6}[!?#*]?")
_STARRED = re.compile(r"\d{4,8}[#*]")
# What no other thing has: letters and digits in turn, or a sign among them.
_SIGNS = frozenset("!#$%&*+=?^~")
_PARTS = re.compile(r"[^\W_]+")
_SHORTEST = 5
_LONG = 8
_MINGLED = re.compile(r"[A-Za-z]{2}\d[a-z]{2}")
_NO_COMPOSED = re.compile(r".*[/?&]\w+=.*|(?:\d{1,5}[.:/-]){2,8}\d{0,5}|.*@.*")


def is_like(value: str) -> bool:
    """Return True if letters, digits and other characters are mixed as they are in a secret, and not in a code."""
    if (
        len(value) < 4
        or value.isalpha()
        or (value.isdigit() and value.isascii())
        or _DATED.fullmatch(value)
        or _CODE.fullmatch(value)
    ):
        return False
    if _STARRED.fullmatch(value):
        return True
    if not any(each.isdigit() for each in value):
        value = value.rstrip("!?*")
        if is_word(value):
            return False
    if (named := _NAMED.fullmatch(value)) and named[1].lower() in words():
        return False
    letters = sum(each.isalpha() for each in value)
    digits = sum(each.isdigit() for each in value)
    if letters and digits:
        return True
    return bool(
        letters and len(value) > letters and any(each in "!#$%&*+=?@^~" for each in value[:-1]) and not value.isupper()
    )


def is_composed(value: str) -> bool:
    """Return True for letters with a digit or a sign among them, as hardly anything but a password has them."""
    if len(value) < _LONG or not is_like(value) or _NO_COMPOSED.fullmatch(value):
        return False
    has_digit = any(map(str.isdigit, value))
    has_sign = any(each in _SIGNS for each in value[:-1])
    return (has_digit and has_sign) or bool(_MINGLED.search(value)) or (has_digit and value.count(".") > 1)


def is_word(value: str) -> bool:
    """Return True for a word of a language, or several, as one stands behind "password is" without being one."""
    small = value.lower().strip("!?*'")
    parts = _PARTS.findall(small)
    return (
        not parts
        or small in _PLAIN
        or all(part in words() or part in _PLAIN or not part.isascii() for part in parts)
        or value.startswith(("[", "<", "$", "{", "%", "*"))
    )


def is_plain(value: str) -> bool:
    """Return True for what stands in the place of a secret where there is none."""
    small = value.lower().strip(".!?*'-")
    return not small or small in _PLAIN


def is_unheard(value: str) -> bool:
    """Return True for a single word that is in no list, neither of words nor of names."""
    small = value.lower().strip("!?*'")
    key = spelled(small)
    if len(key) < _SHORTEST or small in _PLAIN or not all(each.isalpha() or each in "-_" for each in key):
        return False
    parts = _PARTS.findall(key)
    lists = first_names(), unsure_names(), surnames()
    return not all(part in words() for part in parts) and not any(part in names for part in parts for names in lists)


def is_numbered_word(value: str) -> bool:
    """Return True for letters with digits behind them, which is a code elsewhere."""
    return bool(_NUMBERED_WORD.fullmatch(value))
