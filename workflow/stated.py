"""Search for specifics, ignoring case, quotes, slashes and digit separators."""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from privacy.redaction.text import folded

VALUE = r"(\d{1,3}(?:[.,'’ \u00a0\u202f]\d{3})+(?!\d)|\d{1,10}(?:[.,]\d{1,4})?)"
"""A number, with separators of thousands or without."""
_HIVES = {"hkey_local_machine": "hklm", "hkey_current_user": "hkcu", "hkey_classes_root": "hkcr", "hkey_users": "hku"}
_HIVE = re.compile("|".join(_HIVES))
_PART = re.compile(r"\w")
# 30.40 is not part of 10.20.30.40.
_WHOLE_VALUE = re.compile(rf"(?<![\d.]){VALUE}(?!\.?\d)")
_NUMBER_BEFORE = re.compile(r"\d\.")


class Specific(NamedTuple):
    """The position of a specific in a text, and its search key."""

    begin: int
    end: int
    wanted: str
    is_number: bool = False


class Stated:
    """A searchable form of some texts."""

    def __init__(self, texts: Iterable[str], and_of: "Stated | None" = None) -> None:
        self._text = folded_key("\n".join(texts))
        self._numbers = set(_runs(self._text))
        self._also = and_of

    def has(self, one: Specific) -> bool:
        if self._also is not None and self._also.has(one):
            return True
        if one.is_number:
            return one.wanted in self._numbers
        if self._stands(one.wanted) or plain_number(one.wanted) in self._numbers:
            return True
        if (code := re.fullmatch(r"([a-z]{2,8})[-_]?(\d{3,})", one.wanted)) is not None:
            # As a word and a number, or as one word: KB 5034441, lap4711.
            return (code[2] in self._numbers and self._stands(code[1])) or self._stands(code[1] + code[2])
        if one.wanted.startswith("0x"):
            return self._stands(one.wanted[2:])
        return "-" in one.wanted and self._stands(one.wanted.replace("-", " "))

    def _stands(self, wanted: str) -> bool:
        at = self._text.find(wanted)
        while at >= 0:
            end = at + len(wanted)
            # 4.2 is not part of 1.4.2.
            goes_on = wanted[0].isdigit() and _NUMBER_BEFORE.match(self._text[max(0, at - 2) : at])
            if not (goes_on or _PART.match(self._text[at - 1 : at]) or _PART.match(self._text[end : end + 1])):
                return True
            at = self._text.find(wanted, at + 1)
        return False


def folded_key(text: str) -> str:
    key = re.sub(r"[\\/]+", "/", folded(text).text.casefold())
    key = _HIVE.sub(lambda hive: _HIVES[hive[0]], key).replace("%programdata%", "c:/programdata")
    # PowerShell's spelling: HKLM:\Software.
    key = key.replace("hklm:/", "hklm/").replace("hkcu:/", "hkcu/")
    return " ".join(re.sub(r"[\"'“”„‘’«»`]", " ", key).split())


def plain_number(number: str) -> str:
    whole = re.sub(r"[.,'’ \u00a0\u202f](?=\d{3}(?!\d))", "", number)
    return whole.replace(",", ".")


def _runs(text: str) -> Iterator[str]:
    for run in re.findall(r"\d+(?:[.,: '’]\d+)*", text):
        yield run
        yield from re.split(r"[,: '’]", run)
        yield from map(plain_number, _WHOLE_VALUE.findall(run))
