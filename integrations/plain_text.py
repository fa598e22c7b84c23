"""Plain text of HTML and mails, without quotes, mail headers, legal notices and marked signatures.

Only text that is certainly not the sender's is removed: a greeting or a closing word removes nothing. The cost is
linear, unlike that of the library for it, mail-parser-reply (docs/adr/0026).
"""

import html
import re
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

_TAGS = re.compile(r"<[/!?a-zA-Z][^<>]*>")
# The address in `Jo <p.jo@acme.example>` is not a paragraph.
_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]*)(?=[\s/>])([^<>]*)>|<[/!?a-zA-Z][^<>]*>")
_BLOCKS = "br p div tr li ul ol dl dt dd table h1 h2 h3 h4 h5 h6 pre hr section article blockquote body"
_BREAKS = frozenset(_BLOCKS.split())
# Mail programs mark quotes by these: other blockquotes are only indented.
_QUOTES = ("cite", "gmail_quote")
# Soft hyphens, marks of direction, characters of no width.
INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
_UNSEEN = tuple(
    (re.compile(begin, re.IGNORECASE), re.compile(end, re.IGNORECASE))
    for begin, end in (("<!--", "-->"), (r"<script\b", r"</script\s*>"), (r"<style\b", r"</style\s*>"))
)
_PHRASES: dict[str, tuple[Any, ...]] = {
    name: tuple(each)
    for name, each in tomllib.loads(Path(__file__).with_name("phrases.toml").read_text("utf-8")).items()
}
_HEADS = frozenset(_PHRASES["heads"])
# Markers of pictures and links, and encoded data.
_MARKS = re.compile(
    r"\[?cid:[^\s\]]{1,200}\]?|\[image:? ?[^\]\n]{0,100}\]|<image\d+\.\w+>|<mailto:[^>\s]{1,200}>"
    r"|\bdata:\w{1,20}/[\w.+-]{1,40};base64,[A-Za-z0-9+/=]*|(?<![\w/+])[A-Za-z0-9+/]{120,}={0,2}"
)
_NAMED = re.compile(r"[*_ ]{0,3}([^\W\d_][\w-]{0,14})[*_ ]{0,3}:")
_NAME_WORDS = frozenset(["von", "van", "de", "der", "da", "del", "di", "via"])
_SEPARATOR = re.compile(r"[-_=*~# ]{4,}")
_TECHNICAL = re.compile(
    r"0x[0-9a-f]{2,}|\b[A-Z]{2,8}[-_]\d{2,}|\b\d\d:\d\d:\d\d\b"
    r"|error|fehler|erreur|exception|failed|\bwarn|\bat \w+\.\w",
    re.IGNORECASE,
)
# Who writes of himself writes no notice.
_FIRST_PERSON = re.compile(r"\b(?:i|my|ich|mein\w*|mir|je|mon|ma|yo|mi|io|mio|mia|ik|mijn)\b")
_DOTTED = re.compile(r"\d\.\d")
_MAX_LINE_LENGTH = 400
_MAX_SIGNATURE_LINES = 10
_MAX_HEAD_LINES = 12
_MAX_NOTICE_LINES = 8
# A shorter line is not wrapped, so a notice does not go on behind it.
_WRAPPED_LENGTH = 60
# A text with the first number of words is a message. A text with fewer than the second may only point to a mail below.
_MANY_WORDS, _SOME_WORDS = 20, 8
_WORDS_OF_A_NOTICE = 10
_QUOTED_LINES = 3


def plain_text(markup: str) -> str:
    """Return HTML as one line of plain text."""
    return " ".join(html.unescape(_TAGS.sub(" ", markup)).split())


def lines_of(markup: str) -> str:
    """Return HTML as non-empty plain lines with folded space; quotes begin with `>`."""
    for begin, end in _UNSEEN:
        markup = _without(markup, begin, end)
    has_breaks = any((tag.group(2) or "").lower() in _BREAKS for tag in _TAG.finditer(markup))
    text = INVISIBLE.sub("", html.unescape("".join(_pieces(markup, has_breaks=has_breaks))))
    return "\n".join(line for line in (" ".join(each.split()) for each in text.splitlines()) if line not in {"", ">"})


def _without(markup: str, begin: re.Pattern[str], end: re.Pattern[str]) -> str:
    kept, last = [], 0
    while (start := begin.search(markup, last)) and (stop := end.search(markup, start.end())):
        kept += [markup[last : start.start()], " "]
        last = stop.end()
    return "".join([*kept, markup[last:]])


def _pieces(markup: str, *, has_breaks: bool) -> Iterator[str]:
    last = preformatted = quoted = 0
    quotes: list[bool] = []
    for tag in _TAG.finditer(markup):
        yield _own_lines(markup[last : tag.start()], kept=not has_breaks or preformatted > 0)
        last, name = tag.end(), (tag.group(2) or "").lower()
        if name == "blockquote" and not tag.group(1):
            quotes.append(any(mark in tag.group(3).lower() for mark in _QUOTES))
            quoted += quotes[-1]
        elif name == "blockquote" and quotes:
            quoted -= quotes.pop()
        elif name == "pre":
            preformatted = max(0, preformatted + (-1 if tag.group(1) else 1))
        yield f"\n{'&gt; ' if quoted else ''}" if name in _BREAKS else " "
    yield _own_lines(markup[last:], kept=not has_breaks or preformatted > 0)


def _own_lines(text: str, *, kept: bool) -> str:
    return text if kept else " ".join(text.splitlines())


def unwrapped(text: str, *, is_reply: bool = False) -> str:
    """Remove mail headers, quotes, legal notices, signatures below `--`, pictures.

    The first mail of a ticket may be a forwarded one, so the text below a header stays. In a reply it is history, and
    removed, unless only a few words above point to it. If nothing is left, the text is unchanged.
    """
    lines = [line for line in (" ".join(_MARKS.sub(" ", each).split()) for each in text.split("\n")) if line]
    own: list[str] = []
    position, is_below_mark = 0, False
    while position < len(lines):
        after, is_forward = _past_head(lines, position)
        if after > position:
            is_history = is_reply and not is_forward and not _quoted(lines, after)
            if is_history and _is_message(own):
                break
            position, is_below_mark = after, True
            continue
        quoted = _quoted(lines, position)
        if quoted >= (1 if is_below_mark or quoted == len(lines) else _QUOTED_LINES):
            if _is_message(own) and not own[-1].endswith(":"):
                position += quoted
            else:
                unquoted = [each.lstrip("> ") for each in lines[position : position + quoted]]
                lines[position : position + quoted] = unquoted
        elif own and lines[position] == "--":
            position = _past_signature(lines, position + 1)
        elif (after := _past_notice(lines, position)) > position:
            position = after
        else:
            line = lines[position]
            banner = next((each for each in _PHRASES["banners"] if _low(line).startswith(each)), "")
            line = line[len(banner) :].strip()
            if line and not _SEPARATOR.fullmatch(line):
                own.append(line)
            position += 1
        is_below_mark = False
    return "\n".join(own or lines)


def _quoted(lines: Sequence[str], position: int) -> int:
    end = position
    while end < len(lines) and lines[end].startswith(">"):
        end += 1
    return end - position


def _is_message(own: Sequence[str]) -> bool:
    words = sum(len(line.split()) for line in own)
    text = " ".join(own[:_SOME_WORDS]).lower()
    return words >= _MANY_WORDS or (
        words >= _SOME_WORDS and not any(pointing in text for pointing in _PHRASES["pointing"])
    )


def _past_head(lines: Sequence[str], position: int) -> tuple[int, bool]:
    """Return the position after a mail header or mark here; True for a forward."""
    low = _low(lines[position])
    is_forward = low.startswith(_PHRASES["forward_marks"])
    if is_forward or low.startswith(_PHRASES["reply_marks"]) or _is_wrote(lines[position], low):
        return _past_names(lines, position + 1)[0], is_forward
    after, names = _past_names(lines, position)
    is_head = (
        len(names) >= 3 and names[0] in _PHRASES["of_sender"] and not set(names).isdisjoint(_PHRASES["of_subject"])
    )
    # A header that a sender copied as part of the problem has the date elsewhere, or none.
    is_head = is_head and (position == 0 or names[1] in _PHRASES["of_date"])
    return (after if is_head else position), False


def _past_names(lines: Sequence[str], position: int) -> tuple[int, list[str]]:
    names: list[str] = []
    last = min(len(lines), position + _MAX_HEAD_LINES)
    while position < last:
        header = _NAMED.match(lines[position])
        if header and header.group(1).lower() in _HEADS:
            names.append(header.group(1).lower())
        elif not (names and ("@" in lines[position] or lines[position - 1].endswith(";"))):
            break  # neither a header nor a continued address line
        position += 1
    return position, names


def _is_wrote(line: str, low: str) -> bool:
    """Return True for "On 4 May 2026 Jo wrote:" and "Am 4.5. schrieb Jo Doe:", a date or an address and a name."""
    if not low.endswith(":") or not any(character.isdigit() or character == "@" for character in low):
        return False
    for begin, inside in _PHRASES["wrote"]:
        if low.startswith(begin) and inside in low:
            behind = line[low.rindex(inside) + len(inside) : -1].split()
            return "@" in low or all(not word[0].islower() or word in _NAME_WORDS for word in behind)
    return False


def _past_signature(lines: Sequence[str], position: int) -> int:
    """Return the position after a short signature; the same one if a sentence or a fault is in it."""
    end = position
    while end < len(lines) and _past_head(lines, end)[0] == end and _past_notice(lines, end) == end:
        if _is_sentence(lines[end]) or _TECHNICAL.search(lines[end]) or end - position >= _MAX_SIGNATURE_LINES:
            return position
        end += 1
    return end


def _is_sentence(line: str) -> bool:
    words = line.split()
    if len(words) >= 4 and line.endswith((".", "!", "?", "…")):
        return True
    lower = sum(word[:1].islower() for word in words)
    return (len(words) >= 5 and lower * 2 >= len(words)) or (len(words) >= 3 and words[1] in {"is", "ist", "est", "es"})


def _past_notice(lines: Sequence[str], position: int) -> int:
    low = _low(lines[position])
    is_legal = all(any(word in low for word in _PHRASES[kind]) for kind in ("secret", "legal", "of_itself"))
    is_legal = is_legal and len(low.split()) >= _WORDS_OF_A_NOTICE
    is_legal = is_legal and not (_FIRST_PERSON.search(low) or _TECHNICAL.search(low) or _DOTTED.search(low))
    if not is_legal and not low.startswith(_PHRASES["notices"]):
        return position
    last = min(len(lines), position + _MAX_NOTICE_LINES) - 1
    while position < last and len(lines[position]) >= _WRAPPED_LENGTH and not lines[position].endswith((".", "!", "?")):
        position += 1
    return position + 1


def _low(line: str) -> str:
    return line[:_MAX_LINE_LENGTH].lower()
