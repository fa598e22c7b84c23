"""The wrapping of a ticket: what a mail program, a form or politeness put around the one thing that it says.

Each line is looked at once, by the words that it begins with, so that a megabyte of log costs what it weighs. The
library for it (mail-parser-reply) tries expressions that can begin and end anywhere; see docs/adr/0014-search.md.
"""

import re
from collections.abc import Iterable, Sequence

from retrieval.phrases import CLOSINGS, GREETINGS, HEADS, MESSAGE, NOTICES, REPLY_MARKS, SECRET, SENT_FROM, WROTE

# Pictures and links that a text has as marks, and data that is no text.
_MARKS = re.compile(
    r"\[?cid:[^\s\]]{1,200}\]?|\[image:? ?[^\]\n]{0,100}\]|<image\d+\.\w+>|<mailto:[^>\s]{1,200}>"
    r"|\bdata:\w{1,20}/[\w.+-]{1,40};base64,[A-Za-z0-9+/=]*|(?<![\w/+])[A-Za-z0-9+/]{120,}={0,2}"
)
_HEAD = re.compile(r"[*_ ]{0,3}([^\W\d_][\w-]{0,14})[*_ ]{0,3}:")
_SEPARATOR = re.compile(r"[-_=*~# ]{4,}")
_EMPTY_FIELD = re.compile(
    r"[^\W\d_][^:.!?]{0,40}:\s*(?:n/?a|none|keine?|-+|aucune?|ninguno|unknown|unbekannt)?", re.IGNORECASE
)
_CONTACT = re.compile(
    r"(?:tel|telefon|phone|mobile|mobil|cell|fax|direct|durchwahl|office|[mtpfe]|e-?mail|mail|web|www|móvil|téléphone"
    r"|portable|callback(?: number)?|extension|ext)\b\W{0,3}[:.]",
    re.IGNORECASE,
)
# What no signature has: a code, a time of a log, a stack.
_TECHNICAL = re.compile(
    r"0x[0-9a-f]{2,}|\b[A-Z]{2,8}[-_]\d{2,}|\b\d\d:\d\d:\d\d\b"
    r"|error|fehler|erreur|exception|failed|\bwarn|\bat \w+\.\w",
    re.IGNORECASE,
)
_LONGEST_LOOKED_AT = 400
_LONGEST_OF_SIGNATURE = 70
_MOST_OF_SIGNATURE = 12
_MOST_OF_HEAD = 12
# Words after a greeting.
_MOST_NAMED = 4
# So few words before a mail that was sent on say nothing by themselves.
_LEAST_WORDS = 3
_SHORT_CLOSING = 5


def unwrapped(text: str) -> str:
    """Return what a text says without its wrapping, in lines; the whole text where nothing else would be left.

    Off go heads of mails, greetings, signatures, notices of confidentiality, quoted replies, marks of pictures, and
    fields that were left empty. A mail that was sent on with hardly a word stays: it is what the ticket says.
    """
    lines = [line for line in (" ".join(_MARKS.sub(" ", each).split()) for each in text.split("\n")) if line]
    own = _without_quotes(lines)
    said: list[str] = []
    position = 0
    while position < len(own):
        if (after := _past_head(own, position)) > position:
            if _words_in(said) >= _LEAST_WORDS:
                break
            position = after
        elif said and _is_closing(own[position]):
            position = _past_signature(own, position + 1)
        else:
            if not _is_wrapping(own[position]):
                said.append(own[position])
            position += 1
    return "\n".join(said or own or lines)


def _without_quotes(lines: Sequence[str]) -> list[str]:
    """Return the lines that are not quoted; all of them, with the marks off, where the others say nothing."""
    own = [line for line in lines if not line.startswith(">")]
    if _words_in(line for line in own if not _is_wrapping(line)) >= _LEAST_WORDS:
        return own
    return [bare for bare in (line.lstrip("> ") for line in lines) if bare]


def _words_in(lines: Iterable[str]) -> int:
    return sum(len(line.split()) for line in lines)


def _past_head(lines: Sequence[str], position: int) -> int:
    """Return the position after a mail's head, or the mark of a reply, that begins here; the same where none does."""
    low = _low(lines[position])
    is_mark = low.startswith(REPLY_MARKS) or _is_wrote(low)
    heads = [
        at
        for at, line in enumerate(lines[position : position + _MOST_OF_HEAD])
        if (named := _HEAD.match(line)) and named.group(1).lower() in HEADS
    ]
    # A line of many addresses goes on in the next one.
    if len(heads) > 1 and heads[0] == is_mark and heads[1] - heads[0] <= 2:
        return position + heads[-1] + 1
    return position + is_mark


def _is_wrote(low: str) -> bool:
    return low.endswith(":") and any(low.startswith(begin) and inside in low for begin, inside in WROTE)


def _is_closing(line: str) -> bool:
    """Return True if a signature begins with this line."""
    low = _low(line).strip(" -*_—")
    if not low:
        return line.strip() in {"--", "—"}
    for closing in CLOSINGS:
        rest = low.removeprefix(closing)
        if rest == "" or (rest != low and rest[0] in ",.!;" and len(rest.split()) <= 4):
            return True
        if rest != low and rest[0] == " " and len(closing) >= _SHORT_CLOSING and len(rest.split()) == 1:
            return True
    return False


def _past_signature(lines: Sequence[str], position: int) -> int:
    """Return the position of the first line after a signature: one too long for it, or that tells of a fault."""
    last = min(len(lines), position + _MOST_OF_SIGNATURE)
    while position < last:
        line = lines[position]
        is_long = len(line) > _LONGEST_OF_SIGNATURE and not _is_wrapping(line)
        if is_long or _past_head(lines, position) > position or _TECHNICAL.search(line):
            break
        position += 1
    return position


def _is_wrapping(line: str) -> bool:
    """Return True if a line, by itself, says nothing of the matter."""
    low = _low(line)
    bare = low.strip(" .,!;:-*_")
    if not bare or _SEPARATOR.fullmatch(line) or low.startswith((*SENT_FROM, *REPLY_MARKS)):
        return True
    if any(notice in low for notice in NOTICES) or (_has(low, SECRET) and _has(low, MESSAGE)):
        return True
    if _EMPTY_FIELD.fullmatch(line) or (_CONTACT.match(line) and len(line.split()) <= _MOST_OF_HEAD):
        return True
    # A comma at the end says that it is one; without, it may be "hi printer 4 is broken".
    most = _MOST_NAMED if line.endswith((",", "!", ":")) else _MOST_NAMED // 2
    return any(f"{bare} ".startswith((f"{hi} ", f"{hi},")) and len(bare[len(hi) :].split()) <= most for hi in GREETINGS)


def _low(line: str) -> str:
    return line[:_LONGEST_LOOKED_AT].lower()


def _has(low: str, words: Sequence[str]) -> bool:
    return any(word in low for word in words)
