"""HTML as desks and mail programs make it, as plain text that keeps its lines."""

import html
import re
from collections.abc import Iterator

# One alternative for what is left out whole; to the end of the text where it has no end, so that each is read once.
_TAG = re.compile(
    r"<!--.*?(?:-->|\Z)|<(script|style)\b.*?(?:</\1\s*>|\Z)|<(/?)([a-zA-Z][a-zA-Z0-9]*)\b[^<>]*>|<[/!?][^<>]*>",
    re.IGNORECASE | re.DOTALL,
)
_BLOCKS = "br p div tr li ul ol dl dt dd table h1 h2 h3 h4 h5 h6 pre hr section article blockquote body"
_BREAKS = frozenset(_BLOCKS.split())
# Soft hyphens, marks of direction, characters of no width.
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")


def lines_of(markup: str) -> str:
    """Return HTML as lines of plain text: entities resolved, white space folded, no empty line.

    Each line within a `blockquote` begins with `>`, as a quoted one does in a mail of plain text.
    """
    has_breaks = any((tag.group(3) or "").lower() in _BREAKS for tag in _TAG.finditer(markup))
    text = _INVISIBLE.sub("", html.unescape("".join(_pieces(markup, has_breaks=has_breaks))))
    return "\n".join(line for line in (" ".join(each.split()) for each in text.splitlines()) if line not in {"", ">"})


def _pieces(markup: str, *, has_breaks: bool) -> Iterator[str]:
    last = quoted = preformatted = 0
    for tag in _TAG.finditer(markup):
        yield _own_lines(markup[last : tag.start()], kept=not has_breaks or preformatted > 0)
        last = tag.end()
        name, step = (tag.group(3) or "").lower(), -1 if tag.group(2) else 1
        if name == "blockquote":
            quoted = max(0, quoted + step)
        elif name == "pre":
            preformatted = max(0, preformatted + step)
        yield f"\n{'&gt; ' if quoted else ''}" if name in _BREAKS else " "
    yield _own_lines(markup[last:], kept=not has_breaks or preformatted > 0)


def _own_lines(text: str, *, kept: bool) -> str:
    """Return a text with the breaks of its own lines, or without: those of the markup are none of the text."""
    return text if kept else " ".join(text.splitlines())
