"""Secrets that a sentence tells without a word for one right before them: "set it to ...", "admin / ..."."""

import re
from bisect import bisect
from collections.abc import Iterator, Sequence

from masking.found import Located
from masking.lists import listed
from masking.reading import ReadText
from masking.secret_labels import LOGINS, NUMERIC, SecretLabel
from masking.secret_looks import is_like, is_numbered_word, is_unheard, is_word
from masking.telling import AS, BEFORE, FORMS_OF, HANDED, NOTED, VALUE

# Who logs in, and with what: "admin / calvin", "root:toor".
_PAIR = re.compile(
    r"(?i)[^\n/:,;.]{0,30}?[\s:=\"'(]{1,3}([\w.\\@-]{2,40})(?:\s?/\s?|:|\s(?:and|und|with|mit)\s|,\s)" + VALUE
)
# The same of an account of a system, whatever is said before it.
_SYSTEM_PAIR = re.compile(r"(\w{2,13})(?:\s/\s|/|:)" + VALUE)
# On a line of a list of them.
_LISTED = re.compile(
    r"(?<![^\s:])(?<=[\s:])([\w.@-]{2,40}) / ([^\s/,;|]{0,40}[\d!#$%&*+=?][^\s/,;|]{0,40})(?=[ \t]{0,3}(?:\n|$))"
)
# What the secret answers.
_QUESTION = re.compile(r"security question|secret question|sicherheitsfrage|geheimfrage|memorable question")
_ANSWERS = frozenset(["answer", "antwort"])
_ANSWERED = re.compile(r"(?i)\w{6,7}[^\n.;!?]{0,40}?(?:\sis|\sist|\slautet|\swas|\swar|:|=)?\s" + VALUE)
_ANSWER = re.compile(
    r"[^\n]{0,60}\n[> \t]{0,8}(?:[^\n|;]{1,40}?[:>][ \t]{1,2})?(?:(?i:it's|it is|das ist|ist|es ist)\s)?[\"'“„`]?"
    r"([^\s\"'“”„`,;|]{4,64})[\"'”“`]?(?=[ \t.!?]{0,4}(?:\n|$|,))"
)
# Weak ones that many take: the word for it is a part of it.
_COMMON = re.compile(
    r"(?i)(?:passwor[dt]|passw0r[dt]|p@ssw[o0]rd|passwd|kennwort|welcome|willkommen|letmein|qwert[yz]|changeme)"
    r"[-_.@#]?\d{1,8}[!?#$*.]{0,3}(?![\w-]|\.\w)"
)
_COMMON_WORDS = listed("told_secrets common")
_SAID_WORDS = listed("told_secrets words")
_SAID_WORD = re.compile(
    r"(?i)(?:(?:security|memorable|safe|code|secret|magic|duress|verification)\s?-?(?:word|answer|phrase)|code-?wort"
    r"|losungswort"
    r"|losung|sicherheits(?:antwort|frage|wort)"
    r"|(?:answer|antwort|reply)\s[^\n.;:]{0,40}?(?:security|sicherheits|secret|geheim)-?\s?(?:question|frage)"
    r"|mother'?s maiden name|mädchenname(?: der mutter)?)"
    r"(?:\s(?:is|was|ist|war|lautet|lautete|heute|today|now|jetzt|still|noch)){0,2}[\s:=]{1,3}(?!\()" + VALUE
)
# Those of systems: what stands behind one is no person.
_ACCOUNTS = listed("told_secrets accounts")
_AGAIN = frozenset(["reset", "unlocked", "zurückgesetzt", "entsperrt"])
_AS_WORDS = frozenset(["as", "als"])
_SAYING = frozenset(FORMS_OF) | _AS_WORDS
# A noun follows, so that the word before is none that is meant by itself.
_GOING_ON = re.compile(
    r"[\"'”“»)]? (?!(?:and|und|or|oder|as|als|for|für|but|aber|yesterday|gestern|heute|today|now|jetzt|on|auf|in"
    r"|geändert|gesetzt|gestellt|zurückgesetzt|umgestellt|probiert|versucht|to|zu|which|that|please|bitte"
    r"|instead|again|wieder|until|bis|then)(?!\w))\w"
)
# "Fichte/Tanne/9"
_PARTED = re.compile(r"[A-Z][a-z]{2,14}(?:[/.+-][A-Z][a-z]{2,14}){0,3}[/.+-]\d{1,4}")
# Who can't log in has tried something.
_LOCKED = frozenset(["locked", "gesperrt", "ausgesperrt"])
_TRIED = frozenset(["tried", "probiert", "versucht", "hab", "habe", "haben"])
_REACH = 170
# The number of a house, and its street.
_NUMBERING = re.compile(r" [A-Z][a-z]{1,20} [A-Z]")
_NUMBERED = re.compile(r"(?=[^\n]{0,40}\d)[A-Z][A-Za-z]{3,20}[-_.!#]?\d{1,6}[!?#*]?")
_FEW_DIGITS = re.compile(r"\d{4,10}[#*]?|[A-Z]\d{3,5}[A-Z]?|\d{3,5}[A-Z]{1,2}")
_DIGITS = re.compile(r"(?:[A-Z]{1,2}-)?\d{4,10}[#*]?|\d{3}[ -]\d{3}")
_NO_USER = re.compile(
    r"[\d.:]+|[^\n]{0,40}\.(?:java|py|js|cs?|php|go|rb|kt|local|com|de|net|org|example)|https?|file|ldaps?"
)
# Behind these a year is one.
_OF_YEARS = frozenset(["code", "codes", "lock", "sms"])
_NO_CODE = re.compile(r"(?:19|20)\d\d")
_TRAILING = ".,;:)]}>"


def told_secrets(read: ReadText, labels: Sequence[SecretLabel]) -> Iterator[Located]:
    """Find secrets where the sentence tells of one, in the neighbourhood of a word for it."""
    yield from _words(read)
    yield from _pairs(read)
    yield from _handed(read)
    yield from _tried(read)
    for label in labels:
        noted = NOTED.search(read.text, max(0, label.begin - 90), label.begin) if label.is_strong else None
        if noted and (is_like(_bare(noted[1])) or is_numbered_word(_bare(noted[1]))):
            yield _at(noted, 1, _bare(noted[1]))
        answered = _ANSWER.match(read.text, label.end)
        if answered and _is_one(_bare(answered[1]), label, is_told=False, is_answer=True):
            yield _at(answered, 1, _bare(answered[1]))
    if labels:
        yield from _sentences(read, list(_around(labels, len(read.text))))


def _words(read: ReadText) -> Iterator[Located]:
    """Find words of a language where words are asked for, and passwords with the word for them in them."""
    for found in read.after(_SAID_WORDS, _SAID_WORD):
        value = found[1].rstrip(_TRAILING)
        if len(value) > 3 and not is_word(value):
            yield _at(found, 1, value)
    if _QUESTION.search(read.low):
        yield from (_at(found, 1, found[1]) for found in read.after(_ANSWERS, _ANSWERED) if not is_word(found[1]))
    for found in read.after(_COMMON_WORDS, _COMMON):
        if read.text[found.start() - 1 : found.start()] not in {".", "/", "\\", "-"}:
            yield Located(*found.span(), "SECRET")


def _sentences(read: ReadText, windows: Sequence[tuple[int, int, SecretLabel]]) -> Iterator[Located]:
    at = 0
    for word, begin, _ in read.of(_SAYING):
        # Windows follow each other as words do.
        while at < len(windows) and windows[at][1] <= begin:
            at += 1
        if at == len(windows) or begin < windows[at][0]:
            continue
        near = windows[at][2]
        for form, is_told in FORMS_OF.get(word, ()):
            if found := form.match(read.text, begin):
                yield from _values(found, near, is_told=is_told)
        if word in _AS_WORDS and AS.match(read.text, begin):
            before = BEFORE.search(read.text, max(0, begin - 70), begin)
            yield from _values(before, near, is_told=True) if before else ()


def _handed(read: ReadText) -> Iterator[Located]:
    """Find what somebody was given where a password was reset, though no word for it is there."""
    ends = [end for _, _, end in read.of(_AGAIN)]
    for found in read.after(*HANDED[0]) if ends else ():
        at = bisect(ends, found.start())
        value = _bare(found[1])
        if at and found.start() < ends[at - 1] + _REACH // 2 and "-" in value and is_like(value):
            yield _at(found, 1, value)


def _tried(read: ReadText) -> Iterator[Located]:
    """Find what was tried where somebody is locked out, though no word for a secret is there."""
    if not read.of(_LOCKED):
        return
    for word, begin, _ in read.of(_TRIED):
        for form, _ in FORMS_OF[word]:
            found = form.match(read.text, begin) if form is not HANDED[0][1] else None
            for group in range(1, found.re.groups + 1) if found else ():
                value = _bare(found[group] or "") if found else ""
                if found and value and (is_numbered_word(value) or _NUMBERED.fullmatch(value)):
                    yield _at(found, group, value)


def _around(labels: Sequence[SecretLabel], length: int) -> Iterator[tuple[int, int, SecretLabel]]:
    """Return what of a text is near a word for a secret, with the one that says most."""
    at = 0
    while at < len(labels):
        last = at
        while last + 1 < len(labels) and labels[last + 1].begin - labels[last].end < _REACH:
            last += 1
        those = labels[at : last + 1]
        strong = next((each for each in those if each.is_strong and each.word not in LOGINS), those[0])
        yield max(0, labels[at].begin - _REACH), min(length, labels[last].end + _REACH), strong
        at = last + 1


def _bare(value: str) -> str:
    """Return a value without what ends its sentence."""
    value = value.rstrip(_TRAILING)
    return value if any(map(str.isdigit, value)) else value.rstrip("!?")


def _values(found: re.Match[str], near: SecretLabel, *, is_told: bool) -> Iterator[Located]:
    for group in range(1, found.re.groups + 1):
        value = _bare(found[group] or "")
        is_ended = not _GOING_ON.match(found.string, found.start(group) + len(value))
        if value.isdigit() and _NUMBERING.match(found.string, found.end(group)):
            continue
        if value and _is_one(value, near, is_told=is_told, is_ended=is_ended):
            yield _at(found, group, value)


def _is_one(value: str, near: SecretLabel, *, is_told: bool, is_ended: bool = True, is_answer: bool = False) -> bool:
    if ((is_told or is_answer) and _FEW_DIGITS.fullmatch(value)) or _DIGITS.fullmatch(value):
        is_numeric = near.word in NUMERIC
        is_year = bool(_NO_CODE.fullmatch(value)) and not (is_told and is_numeric and near.word not in _OF_YEARS)
        return not is_year and (is_told or is_numeric or not near.is_strong)
    if is_like(value) and len(value) > 4:
        return True
    if is_told and near.is_strong and _PARTED.fullmatch(value):
        return True
    return (
        is_told
        and near.is_strong
        and near.word not in LOGINS
        and (is_numbered_word(value) or (is_ended and is_unheard(value)))
    )


def _pairs(read: ReadText) -> Iterator[Located]:
    """Find who logs in, and with what, behind words for logging in; of accounts of systems anywhere."""
    told = [_PAIR.match(read.text, end) for _, _, end in read.of(LOGINS)]
    lines = _LISTED.finditer(read.text) if told else ()
    for pair in [*filter(None, told), *_system_pairs(read), *lines]:
        value = _bare(pair[2])
        is_port = value.isdigit() and read.text[pair.end(1) : pair.start(2)] == ":"
        if is_word(value) or value.startswith("/") or is_port or _NO_USER.fullmatch(pair[1].lower()):
            continue
        is_end = not _GOING_ON.match(read.text, pair.start(2) + len(value))
        is_known = pair[1].lower() in _ACCOUNTS
        # "The VPN does not connect, ..." is no pair: behind a comma or a word stands what looks like a secret.
        is_divided = read.text[pair.end(1) : pair.start(2)].strip() in {"/", ":"}
        is_meant = is_end and (is_known or (is_divided and is_unheard(value)))
        if is_like(value) or value.isdigit() or is_numbered_word(value) or is_meant:
            yield _at(pair, 2, value)


def _system_pairs(read: ReadText) -> Iterator[re.Match[str]]:
    for _, begin, _ in read.of(_ACCOUNTS):
        if (found := _SYSTEM_PAIR.match(read.text, begin)) and read.text[begin - 1 : begin] not in {
            "/",
            "\\",
            ".",
            "-",
        }:
            yield found


def _at(found: re.Match[str], group: int, value: str) -> Located:
    return Located(found.start(group), found.start(group) + len(value), "SECRET")
