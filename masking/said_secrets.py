"""Passwords, PINs, codes: what a text says to be one, and what looks like one where it speaks of them."""

import re
from collections.abc import Iterator, Sequence

from masking.found import Located
from masking.lists import words
from masking.network import is_machine
from masking.reading import ReadText
from masking.secret_labels import LOGINS, PASSWORDS, SecretLabel, is_password
from masking.secret_looks import is_like, is_unheard, is_word
from masking.things import OF_THINGS

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
    r"\d(?<![\w.,:/-]\d)(?:[ -]?\d){2,9}[#*]?(?![\w%]|[.,:/-]\d|\s?(?:mal|times|min|minutes|minuten|sek|h|uhr"
    r"|digits|stellen|stellig|zeichen|characters|chars|tage|days|eur|users?|stück)\b)",
    re.IGNORECASE,
)
_CODED = re.compile(r"[A-Z0-9]{1,6}-?[A-Z0-9]{2,8}(?:-[A-Z0-9]{2,8}){0,4}(?!\w)")
_JOINED = re.compile(r"[A-Z0-9](?<!\w.)[A-Z0-9]{1,5}-[A-Z0-9]{3,8}(?:-[A-Z0-9]{2,8}){0,4}(?!\w)")
_MIXED = re.compile(r"\d[A-Z]|[A-Z]\d")
_YEAR = re.compile(r"(?:19|20)\d\d")
_OR = re.compile(r"(?:oder|or|not|nicht|and|und|,|/)\s?$")
_SHORT = frozenset(["cvc", "cvn", "cvv", "kartenprüfnummer", "prüfziffer"])
# A code's number is what is looked for here.
_OF_OTHERS = OF_THINGS.pattern.replace("|code|", "|")
_COUNTED = re.compile(rf"(?:{_OF_OTHERS})|(?:\berr|\breturns|\bhttp|\berror|#)[\s.:#(]{{0,3}}$")
_KNOWN = re.compile(r"[0-9A-F]{8}(?:-[0-9A-F]{4}){2,3}.*|S-1-.*|.*20\d\d-\d\d.*")
# "The password on the copier is 778812".
_NUMBERED = re.compile(
    r"(?:[A-Z][a-z]{1,3}\. |[^\n.:;?!]){0,40}?(?:(?<![^\W_])(?:is|was|ist|war|lautet|noch|auf|as|=)\s|[:=]\s?)"
    r"(\d(?:[ -]?\d){3,19}[#*]?)(?![\w:/]|\.\d)"
)
# "the unlock code for the phone 147258"
_OF_WHAT = re.compile(
    r"(?i)\s(?:for|of|on|at|für|von|vom|zum|zur|der|des|am|im|in)(?:\s(?:the|my|his|her|our|den|die|das|der|dem))?"
    r"(?:\s[\w-]{2,20}){1,2}\s(\d(?:[ -]?\d){3,9}[#*]?)(?![\w:/]|\.\d)"
)
# "the phone unlock pin 885522", "backup code 9f3k 22mq"
_DIRECTLY = re.compile(
    r"[\s:=(\"'„]{1,3}(\d{4,10}|\d{3}[ -]\d{3})[#*]?(?![\w:/%]|[ .,-]\d|\s(?:mal|times|min|h|uhr|comes|kommt)\b)"
)
_PAIRED = re.compile(r"[\s:=(\"'„]{1,3}((?=[a-z]{0,5}\d)[a-z\d]{4,6}[ -](?=[a-z]{0,5}\d)[a-z\d]{4,6})(?!\w)")
_HEX = re.compile(r"[^\n;?!]{0,40}?(?::\s?|\s)([0-9a-fA-F]{20,128})(?!\w)")
# "The temporary password of Jo is Giraffe-Lamp-27"
_FAR = re.compile(
    r"[^\n.;:?!\d]{0,40}?(?:(?<![^\W_])(?:is|was|ist|war|lautet|lautete)\s|[:=]\s)[\"'“„`(]?([^\s\"'“”„`,;|()]{4,64})"
)
# Several words in quotes, and groups of letters.
_QUOTED = re.compile(r"[\"“”„«»`']([^\"“”„«»`'\n]{4,80})[\"“”„«»`']")
_GROUPS = re.compile(r"(?:[a-zA-Z0-9]{4}[ -]){3,11}[a-zA-Z0-9]{4}(?!\w)")
_TITLED = re.compile(r"(?:[A-Z][a-z]{2,12} ){1,3}(?<=[a-z] )\d{1,4}(?=[\s.,!]|$)")
_TRAILING = ".,;:)]}>"
_ASSIGNED = re.compile(r"""["']?\s?(?::=|=>|[=:])\s?(?:"([^"\n]{3,200})"|'([^'\n]{3,200})'|([^\s"',;&<>]{3,200}))""")
_USER = re.compile(r"(?:user\w*|login|benutzer\w*|name|konto|account|anmeldename)\s?[:=]\s?[^\n]{1,40}\n?[^\n]{0,12}$")
# After these not what follows a colon is the secret, but who logs in.
_NO_VALUE = LOGINS | {"wifi", "community", "seed", "lock", "safe", "alarm"}
# "ChangeMe!", "Liverpool5" right behind the word for a password.
_COMPOSED = re.compile(
    r"[A-Z][a-z]{1,20}[A-Z][A-Za-z]{1,20}[!?*]|(?!Windows|Office|Outlook|Win|Server|Teams)[A-Z][a-z]{3,15}\d{1,2}!?"
)
_NETS = frozenset(["wifi", "wlan"])
# Who logs in, before the secret.
_WHO = re.compile(r"^[A-Za-z][\w.-]{1,20}:(?=\w)")
_DATE = re.compile(r"(?:19|20)\d\d-\d\d")
_OF_IDS = re.compile(
    r"(?<![^\W_])(?:id|ids|nummer|nr|fingerprint|hash|sha\d{0,3}|md5|guid|uuid|alarm|mailbox"
    r"|[^\W\d_]{2,20}nummer)[\s.:#=-]{1,3}$"
)
# Of these only what is said to be the secret is one.
_LOCKS = frozenset(["lock", "padlock", "keypad", "lockbox", "keysafe"])
_HEXED = re.compile(r"0x[0-9a-fA-F]{1,8}")
# "The key for C02XJ is ..."
_WHOSE = re.compile(r"(?i)(?:for|of|für|von|vom)\s$")
_THEN = re.compile(r"\W{0,3}\s(?:is|ist|lautet|was|war)\s")
_LONG = 60
_AROUND = 170


def assigned_secrets(read: ReadText, labels: Sequence[SecretLabel]) -> Iterator[Located]:
    """Find what is set to be a secret, as settings and connection strings have it, and what is said to be one."""
    at = 0
    for label in labels:
        if label.begin < at:
            continue
        if label.is_strong and label.word not in _NO_VALUE and (value := _ASSIGNED.match(read.text, label.end)):
            begin, end = value.span(value.lastindex or 0)
            stripped = read.text[begin:end].rstrip(_TRAILING)
            is_one = is_like(stripped) or not is_word(stripped) or _is_behind_user(read, label, stripped)
            if (
                is_one
                and not _HEXED.fullmatch(stripped)
                and not stripped.startswith("&")
                and not is_password(stripped.lower())
            ):
                at = begin + len(stripped)
                yield _secret(begin, at)
                continue
            # A long row of words is looked at once.
            at = begin + len(stripped) if len(stripped) > _LONG else at
        if label.is_strong and label.word not in LOGINS and (direct := _direct(read, label)) is not None:
            at = direct.end
            yield direct
        yield from _far(read, label)


def near_secrets(read: ReadText, labels: Sequence[SecretLabel]) -> Iterator[Located]:
    """Find codes behind words for them, and what looks like a secret in the same lines."""
    until = 0
    for place, label in enumerate(labels):
        following = labels[place + 1].begin if place + 1 < len(labels) else len(read.text)
        if label.is_strong and (told := _HEX.match(read.text, label.end)):
            yield _secret(*told.span(1))
        if not label.is_strong and label.word not in _LOCKS:
            yield from _codes(read, label, min(following, label.end + 60))
        if label.word in LOGINS:
            continue
        begin = max(label.end, until)
        stop = label.end + _AROUND
        while begin < min(following, stop) and (value := _NEAR_VALUE.search(read.text, begin, min(following, stop))):
            begin = value.end()
            stripped = value[0].strip(_TRAILING + "([{'")
            stripped = _WHO.sub("", stripped)
            at = value.start() + value[0].rfind(stripped)
            is_one = len(stripped) > 5 and is_like(stripped) and not is_machine(stripped)
            if is_one and not _is_of_things(read, at):
                # A list of them goes on.
                stop = begin + _AROUND
                yield _secret(at, at + len(stripped))
        until = begin


def _far(read: ReadText, label: SecretLabel) -> Iterator[Located]:
    """Find what is said to be the secret, behind a few words about what it is for."""
    for form in (_NUMBERED,) if label.is_strong else (_DIRECTLY, _PAIRED, _NUMBERED, _OF_WHAT):
        told = form.match(read.text, label.end)
        if (
            told
            and not _DATE.match(told[1])
            and not _YEAR.fullmatch(told[1])
            and not _is_of_things(read, told.start(1))
        ):
            yield _secret(*told.span(1))
    if (label.word in LOGINS and label.word not in _NETS) or not (told := _FAR.match(read.text, label.end)):
        return
    value = told[1].rstrip(_TRAILING)
    value = value if any(map(str.isdigit, value)) else value.rstrip("!?")
    is_ended = read.text[told.start(1) + len(value) :][:1] in {"", "\n", ".", ",", ")", '"', ";"} or (
        read.text.startswith(" (", told.start(1) + len(value))
    )
    titled = _TITLED.match(read.text, told.start(1)) if label.is_strong else None
    if titled and titled[0].count(" ") > 1:
        yield _secret(*titled.span())
    elif label.word in _NETS:
        if is_like(value) and read.text[told.start(1) - 2] in ":=":
            yield _secret(told.start(1), told.start(1) + len(value))
    elif _is_coded(value) or (label.is_strong and (is_like(value) or (is_ended and is_unheard(value)))):
        yield _secret(told.start(1), told.start(1) + len(value))


def _is_of_things(read: ReadText, at: int) -> bool:
    before = max(0, at - 24)
    return bool(OF_THINGS.search(read.low, before, at) or _OF_IDS.search(read.low, before, at))


def _is_coded(value: str) -> bool:
    return bool(_CODED.fullmatch(value)) and any(map(str.isdigit, value)) and not _KNOWN.fullmatch(value)


def _direct(read: ReadText, label: SecretLabel) -> Located | None:
    """Find what is said to be the secret, right behind the word for it."""
    gap = _GAP.match(read.text, label.end)
    if not gap:
        return None
    is_said = bool(_SAYS.search(gap[0]))
    if (quoted := _QUOTED.match(read.text, gap.end() - 1)) and (is_said or " " in quoted[1]) and not is_word(quoted[1]):
        return _secret(*quoted.span(1))
    grouped = _GROUPS.match(read.text, gap.end())
    if (
        grouped
        and any(map(str.isdigit, grouped[0]))
        and not any(each in words() for each in grouped[0].lower().split())
    ):
        return _secret(*grouped.span())
    value = _VALUE.match(read.text, gap.end())
    if not value:
        return None
    stripped = value[0].rstrip(_TRAILING + "'")
    if _WHOSE.search(gap[0]) and _THEN.match(read.text, value.start() + len(stripped)):
        return None
    is_coded = _is_coded(stripped)
    is_number = stripped.isdigit() and 3 < len(stripped) < 25
    is_open = read.text[value.end() : value.end() + 1] != " " or not read.text[value.end() + 1 :][:1].isupper()
    is_one = (
        is_like(stripped)
        or is_coded
        or is_number
        or (is_said and len(stripped) > 3 and not is_word(stripped) and not _HEXED.fullmatch(stripped))
        or (label.word.endswith(PASSWORDS) and bool(_COMPOSED.fullmatch(stripped)))
        or (stripped.islower() and is_open and "\n" not in gap[0] and is_unheard(stripped))
    )
    return _secret(value.start(), value.start() + len(stripped)) if is_one else None


def _is_behind_user(read: ReadText, label: SecretLabel, value: str) -> bool:
    """Return True for a value that is a word, where the line before tells who logs in."""
    return len(value) > 3 and bool(_USER.search(read.low, max(0, label.begin - 60), label.begin))


def _codes(read: ReadText, label: SecretLabel, end: int) -> Iterator[Located]:
    begin, count = label.end, 0
    least = 3 if label.word in _SHORT else 4
    for found in _NUMBER.finditer(read.text, begin, end):
        is_year = _YEAR.fullmatch(found[0]) and not (
            count and _OR.search(read.low, max(0, found.start() - 8), found.start())
        )
        is_counted = _COUNTED.search(read.low, max(0, found.start() - 24), found.start())
        is_date = is_year or _DATE.match(found[0])
        if not is_date and not is_counted and sum(map(str.isdigit, found[0])) >= least:
            count += 1
            yield _secret(*found.span())
    for found in _JOINED.finditer(read.text, begin, end):
        is_mixed = any(_MIXED.search(part) for part in found[0].split("-")) or found[0].count("-") > 1
        if is_mixed and any(each.isdigit() for each in found[0]) and not _KNOWN.fullmatch(found[0]):
            yield _secret(*found.span())
    gap = _GAP.match(read.text, begin)
    coded = _CODED.match(read.text, gap.end()) if gap else None
    if coded and sum(map(str.isdigit, coded[0])) > 1 and len(coded[0]) > 3 and not _KNOWN.fullmatch(coded[0]):
        yield _secret(*coded.span())


def _secret(begin: int, end: int) -> Located:
    return Located(begin, end, "SECRET")
