"""Secrets that answer a question, and more of a kind beside one that is known: codes in a row, phrases of words."""

import re
from collections.abc import Iterator, Sequence

from masking.found import Located
from masking.lists import listed
from masking.reading import ReadText
from masking.secret_labels import SecretLabel
from masking.secret_looks import is_composed, is_plain, is_word

_CHATTING = r"[> \t]{0,8}(?:\[?[\d:. ]{0,9}\]? ?[^\W\d][^\n|;:]{0,38}: |[-–] )"
_OPENING = r"(?:(?i:it'?s|it is|das ist|ist|es ist|wäre|ich glaube|i think|that'?s)\s)?"
# The line of another, in a chat, behind a question.
_REPLY = re.compile(
    rf"\n{_CHATTING}{_OPENING}[\"'“„`]?([^\W\d_][^\s\"'“”„`,;|?]{{3,40}}|\d{{3,10}}[#*]?)"
    r"(?:[\"'”“`.! \t]{0,3})(?=\n|$)"
)
_CODES = r"\d{3}[ -]\d{3}|\d{4,8}"
_REPLIED = re.compile(
    rf"[^\n]{{0,60}}\?[^\n]{{0,20}}(?:\n{_CHATTING}[^\n\d]{{0,12}}(?:\d[^\n\d]{{1,12}})?)?"
    rf"\n{_CHATTING}{_OPENING}({_CODES})(?!\w|[.,:/-]\d)"
)
# More of them, with nothing but what joins between.
_MORE = re.compile(
    rf"(?:[ \t]{{0,3}}[,;/|&\n][ \t]{{0,3}}|[ \t]{{1,4}}|\s(?:und|and|or|oder)\s)({_CODES})(?!\w|[.,:/-]\d)"
)
_GROUPED = re.compile(r"\d{3}[ -]\d{3}")
# What is asked when somebody has forgotten a password, and how the answer is put down.
_QUESTIONS = listed("asked_secrets questions")
_WORD = r"[^\W\d_][\w'’-]{2,30}"
_ANSWERED = re.compile(
    r"(?:(?i:(?:security|secret|memorable|recovery)\s(?:question|answer|word)|(?:sicherheits|geheim|kontroll)"
    r"-?(?:frage|antwort))"
    r"(?:\s?\([^()\n]{3,40}\)|\s?[\"“„][^\"“”„\n]{3,40}[\"”“]|\s(?i:to|auf|is|ist)){0,2}"
    r"(?: ?(?:[=:-]|(?i:is|was|ist|war|lautet)) |(?<=[)\"”“]) )|(?i:(?:security |secret )?(?:antwort|answer))"
    rf" (?:(?i:{'|'.join(sorted(_QUESTIONS))})[a-zäöüß]{{0,12}}[ :]{{1,2}}){{1,3}})"
    rf"[\"'“„]?({_WORD}(?: [A-ZÄÖÜ][\w'’-]{{2,30}}){{0,2}})"
)
_ANSWERS = listed("asked_secrets answers")
_ASKED = frozenset(
    ["memorable", "password", "passwort", "kennwort", "codewort", "codeword", "code", "pin", "passphrase"]
)
_OF_WORDS = frozenset(["phrase", "passphrase", "kennwort", "codewort", "codeword", "safeword"])
# "pass phrase velvet hedgehog" to the end of the line; with capitals behind "is".
_PHRASE = re.compile(r"\s([a-zäöüß]{3,14}(?:[ -][a-zäöüß]{3,14}){1,5})[.!]?(?=\n|$)")
_TITLED = re.compile(
    r"[^\n.:;?!=]{0,24}?(?:\s(?:is|ist|lautet|was|war|=)|:)\s"
    r"([A-ZÄÖÜ][a-zäöüß]{2,14}(?: (?:[a-zäöüß]{2,3} )?[A-ZÄÖÜ][a-zäöüß]{2,14}){1,3})[.!]?(?=\n|$)"
)
# "the router - admin, Value+7", "host - Value.7": all of the rest of a line of a list.
_HANDED_OVER = re.compile(r"(?<=\s- )(?:[\w.@-]{2,24}, )?([^\s,;|]{8,40})(?=[ \t]{0,8}(?:\n|$))")
# What opens a door or silences an alarm.
_OPENING_CODE = re.compile(
    r"(?i)(?<![^\W_])(?:alarmanlage|alarm panel|tresor|burglar alarm|scharf/unscharf)(?![^\W_])"
    r"[^\n\d.;]{0,30}?\s((?:\d\d-){2,3}\d\d|\d{4,8}[#*]?)(?![\w]|[.,:/-]\d)"
)
_OF_ALARMS = ("alarmanlage", "alarm panel", "tresor", "burglar alarm", "scharf/")
# "mail@example.com / Value*7"
_MAIL_PAIR = re.compile(r"@[\w.-]{3,60}[ \t]{0,2}[/|][ \t]{0,2}([^\s,;|/]{6,40})(?=[\s,;]|$)")
# What one logs in with at a network without wires, somewhere in the same line.
_NETS = frozenset(["wifi", "wlan"])
_NEXT = re.compile(r"[^\s]{0,20}[ \t]{1,2}(\S{1,40})(?!\S)")
_REACH = 30
_LINE = 80
_TRAILING = ".,;:)]}>"
_MOST = 20


def asked_secrets(read: ReadText, labels: Sequence[SecretLabel]) -> Iterator[Located]:
    """Find what is answered to a question for a secret, and what is handed over in a list."""
    if "?" in read.text and "\n" in read.text:
        yield from _replies(read)
    for found in read.after(_ANSWERS, _ANSWERED):
        if not is_plain(found[1]) and (found[1][0].isupper() or not is_word(found[1])):
            yield _secret(found, found[1])
    for label in labels:
        if label.word not in _OF_WORDS:
            continue
        for form in (_PHRASE, _TITLED) if label.word.endswith("phrase") else (_TITLED,):
            phrase = form.match(read.text, label.end)
            if phrase and not is_plain(phrase[1].split()[0]):
                yield _secret(phrase, phrase[1])
    for _, _, end in read.of(_NETS):
        at = end
        while at < end + _REACH and (following := _NEXT.match(read.text, at)):
            at = following.end()
            if is_composed(value := following[1].rstrip(_TRAILING)):
                yield _secret(following, value)
    if labels:
        yield from _handed_over(read)
    if any(word in read.low for word in _OF_ALARMS):
        yield from (_secret(found, found[1]) for found in _OPENING_CODE.finditer(read.text))


def rows(read: ReadText, found: Sequence[Located]) -> Iterator[Located]:
    """Find the codes that follow one in the same row, and are written alike."""
    for find in found:
        value = read.text[find.begin : find.end]
        if find.kind != "SECRET" or not _GROUPED.fullmatch(value):
            continue
        at = find.end
        for _ in range(_MOST):
            more = _MORE.match(read.text, at)
            if not more or len(more[1]) != len(value):
                break
            yield _secret(more, more[1])
            at = more.end()


def _replies(read: ReadText) -> Iterator[Located]:
    for _, begin, end in read.of(_ASKED):
        line = read.text.find("\n", end, end + _LINE)
        if line > 0 and "?" in read.text[end:line] and (found := _REPLY.match(read.text, line)):
            value = found[1].rstrip("!")
            if not is_plain(value) and value[:4].lower() not in {"nein", "sure", "yeah", "nope", "okay"}:
                yield _secret(found, value)
        if (found := _REPLIED.match(read.text, end)) and read.text[begin:end].lower() in {"code", "codes", "pin"}:
            yield _secret(found, found[1])


def _handed_over(read: ReadText) -> Iterator[Located]:
    for form in (_HANDED_OVER, _MAIL_PAIR):
        for found in form.finditer(read.text):
            if is_composed(value := found[1].rstrip(_TRAILING)):
                yield _secret(found, value)


def _secret(found: re.Match[str], value: str) -> Located:
    return Located(found.start(1), found.start(1) + len(value), "SECRET")
