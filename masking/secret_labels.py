"""Words for secrets: passwords, PINs, codes, keys; without those for what else has a code or a key."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from masking.lists import listed
from masking.reading import ReadText

_STRONG = listed("secret_labels strong")
_STRONG_ENDS = tuple(sorted(listed("secret_labels strong ends")))
PASSWORDS = ("passwort", "kennwort", "password", "passwd", "pwd", "passphrase")
"""They are of nothing else, whatever stands before."""
NUMERIC = listed("secret_labels numeric")
_NUMERIC_ENDS = ("pin", "puk", "code", "codes", "tan")
_EXACT = _STRONG | NUMERIC
_ENDS = (*_STRONG_ENDS, *_NUMERIC_ENDS)
_LASTS = frozenset(end[-3:] for end in _ENDS)
LOGINS = listed("secret_labels logins")
"""Behind them stands who logs in, and then the secret."""
# What else has a code or a key.
_OF_THINGS = re.compile(
    r"(?:error|err|fehler|company|co|comp|class|dress|reject|exit|status|event|stop|reason|post|postal|zip|country|area"
    r"|course|kurs|source|qr|bar|return|response"
    r"|rückgabe|vorwahl|http|smtp|activity|cost|product|ländercode|abbruch|bug|sort|swift|ifsc|bic|colou?r|discount"
    r"|promo|voucher|rabatt|gutschein|error-)[\s-]{0,2}$"
)
_OF_KEYS = re.compile(
    r"(?:hot|primary|foreign|registry|public|enter|function|arrow|shift|ctrl|alt|windows|any|of"
    r"|fehler|error)[\s-]{0,2}$"
)
_THINGS = listed("secret_labels things")
# Many tables have a column of keys, or of codes of something.
_OF_COLUMNS = frozenset(["key", "keys", "schlüssel", "code", "codes", "token", "tokens", "sms", "lock", "safe", "wifi"])
_PASSPORT = re.compile(r"Pass[ :.]{1,2}(?:Nr\.? )?[A-Z]{1,2}\d{6,8}(?!\w)")
# To log in at a hotspot.
_VOUCHERS = frozenset(["voucher", "vouchers", "gutschein"])
_OF_NETS = re.compile(r"(?:wifi|wi-fi|wlan|hotspot|guest|visitor|gast|besucher|internet)[\s-]{1,2}$")
_PARTS = re.compile(r"[^\W\d_]+")
# "Key ID 8C1E44D0", "key fingerprint SHA256:..." tell which one it is.
_NAMING = re.compile(r"[\s_-]{0,2}(?:ids?|fingerprint|fingerabdruck|name|length|länge|vault|size)(?![^\W_])")


class SecretLabel(NamedTuple):
    """Where a word for a secret stands."""

    word: str
    begin: int
    end: int
    is_strong: bool
    """Whether any secret may follow, not digits alone."""


def labels(read: ReadText) -> Iterator[SecretLabel]:
    """Find the words for secrets, as they follow each other."""
    found = []
    for word in [word for word in read.vocabulary if word in _EXACT or (word[-3:] in _LASTS and word.endswith(_ENDS))]:
        is_one_of_strong = _is_strong(word)
        if is_one_of_strong or _is_numeric(word):
            found += [(place, is_one_of_strong) for place in read.places[word]]
    for word in _VOUCHERS & read.vocabulary:
        at = (
            place
            for place in read.places[word]
            if _OF_NETS.search(read.low, max(0, read.words[place][1] - 12), read.words[place][1])
        )
        found += [(place, True) for place in at]
    for place, is_one_of_strong in sorted(found):
        word, begin, end = read.words[place]
        is_key = word.endswith(("key", "keys"))
        of_things = _OF_KEYS if is_key else _OF_THINGS
        is_of_things = not word.endswith(PASSWORDS) and of_things.search(read.low, max(0, begin - 14), begin)
        if not is_of_things and not _is_of_user(read, word, begin) and not (is_key and _NAMING.match(read.low, end)):
            yield SecretLabel(word, begin, end, is_one_of_strong)


def _is_of_user(read: ReadText, word: str, begin: int) -> bool:
    """Return True where who logs in is named as well, before the secret, and for a German passport with its number."""
    is_both = word == "pass" and read.low.endswith("user-", 0, begin)
    return is_both or (word == "pass" and bool(_PASSPORT.match(read.text, begin)))


def is_password(head: str) -> bool:
    """Return True where the head of a column tells of passwords."""
    parts = _PARTS.findall(head)
    return any(_is_strong(part) and part not in LOGINS and part not in _OF_COLUMNS for part in parts)


def is_code(head: str) -> bool:
    """Return True where the head of a column tells of PINs."""
    return any(part in NUMERIC and part not in _OF_COLUMNS for part in _PARTS.findall(head))


def _is_strong(word: str) -> bool:
    return word in _STRONG or (word.endswith(_STRONG_ENDS) and word not in _THINGS)


def _is_numeric(word: str) -> bool:
    return word in NUMERIC or (len(word) > 4 and word.endswith(_NUMERIC_ENDS) and word not in _THINGS)
