"""HTML of desks and mail programs as plain text that keeps its lines."""

import html
import re
from collections.abc import Iterator

_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]*)\b([^<>]*)>|<[/!?][^<>]*>")
_BLOCKS = "br p div tr li ul ol dl dt dd table h1 h2 h3 h4 h5 h6 pre hr section article blockquote body"
_BREAKS = frozenset(_BLOCKS.split())
# Mail programs mark quotes by these: other blockquotes are only indented.
_QUOTES = ("cite", "gmail_quote")
INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
"""Soft hyphens, marks of direction, characters of no width."""
_UNSEEN = tuple(
    (re.compile(begin, re.IGNORECASE), re.compile(end, re.IGNORECASE))
    for begin, end in (("<!--", "-->"), (r"<script\b", r"</script\s*>"), (r"<style\b", r"</style\s*>"))
)


def lines_of(markup: str) -> str:
    """Return HTML as lines: entities resolved, white space folded, none empty.

    A line that a mail program marked as quoted begins with `>`, as in a mail of plain text.
    """
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
