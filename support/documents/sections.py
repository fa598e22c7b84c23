"""Documents split by heading into parts small enough for search."""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from retrieval.cleaning import INVISIBLE, lines_of

# Marks a heading found in markup: a private use character of Unicode, removed from texts.
_MARK = "\ue000"
_MARK_IN_HTML = re.compile("\ue000|&#(?:xe000|57344);?", re.IGNORECASE)
_HTML_HEADING = re.compile(r"""<h[1-6]\b(?:"[^"]*"|'[^']*'|[^<>"'])*>""", re.IGNORECASE)
# https://spec.commonmark.org/0.31.2/#atx-headings and the following sections, as far as needed for headings.
_MARKDOWN_HEADING = re.compile(r" {0,3}#{1,6}(?:[ \t]+(.*))?")
_CLOSING = re.compile(r"(?:^|[ \t])#+$")
_UNDERLINE = re.compile(r" {0,3}(?:=+|-{2,})[ \t]*")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)")
_DATA = re.compile(r"data:[\w/+.-]+;base64,[A-Za-z0-9+/=]+")
_LONGEST_PART = 1500
_LONGEST_TITLE = 300


class Part(NamedTuple):
    """Unit of search; `title` is the document's name and the text's heading."""

    title: str
    text: str


def parts_of_html(name: str, markup: str) -> list[Part]:
    marked = _HTML_HEADING.sub(lambda tag: f"{tag.group()[:3]}>{_MARK}", _MARK_IN_HTML.sub(" ", markup))
    return list(_parts(name, _sections(lines_of(marked).split("\n"))))


def parts_of_markdown(name: str, text: str) -> list[Part]:
    return list(_parts(name, _sections(_with_marks(_plain(_DATA.sub(" ", text))))))


def parts_of_text(name: str, text: str) -> list[Part]:
    return list(_parts(name, [("", _plain(text))]))


def parts_of_pages(name: str, pages: Iterable[str]) -> list[Part]:
    sections = ((f"page {number}", page.split("\n")) for number, page in enumerate(pages, 1))
    return list(_parts(name, sections))


def _plain(text: str) -> list[str]:
    return INVISIBLE.sub("", text.replace(_MARK, " ")).splitlines()


def _with_marks(lines: Iterable[str]) -> Iterator[str]:
    fence, before = "", ""
    for line in lines:
        opened = _FENCE.fullmatch(line)
        if opened is not None and _is_fence(opened.group(1), opened.group(2), fence):
            fence = "" if fence else opened.group(1)
        heading = None if fence else _MARKDOWN_HEADING.fullmatch(line)
        if heading is not None:
            yield before
            before = _MARK + _CLOSING.sub("", (heading.group(1) or "").strip())
        elif not fence and before.strip() and not before.startswith(_MARK) and _UNDERLINE.fullmatch(line):
            before = _MARK + before.strip()
        else:
            yield before
            before = line
    yield before


def _is_fence(marks: str, behind: str, opened: str) -> bool:
    if opened:
        return marks.startswith(opened) and not behind.strip()
    return marks[0] == "~" or "`" not in behind


def _sections(lines: Iterable[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield each heading with its text; one without text joins the next heading."""
    heading, below, is_named = "", list[str](), True
    for line in lines:
        text = line.lstrip("> ")
        if text.startswith(_MARK):
            if any(each.strip() for each in below):
                yield heading, below
                heading = ""
            text = text.lstrip(_MARK).strip()
            heading, below, is_named = _joined(heading, text), [], bool(text)
        elif not is_named and line.strip():
            # The heading's text is in an element of its own.
            heading, is_named = _joined(heading, line.strip()), True
        else:
            below.append(line)
    yield heading, below


def _joined(*headings: str) -> str:
    return " / ".join(filter(None, headings))


def _parts(name: str, sections: Iterable[tuple[str, list[str]]]) -> Iterator[Part]:
    for heading, lines in sections:
        title = f"{name}: {heading}" if heading and heading != name else name
        part = ""
        # A heading without text is found by itself.
        for word in _words(" ".join(lines).strip() or heading):
            if part and len(part) + len(word) > _LONGEST_PART:
                yield Part(title[:_LONGEST_TITLE], part)
                part = ""
            part = f"{part} {word}".strip()
        if part:
            yield Part(title[:_LONGEST_TITLE], part)


def _words(text: str) -> Iterator[str]:
    for word in text.split():
        for begin in range(0, len(word), _LONGEST_PART):
            yield word[begin : begin + _LONGEST_PART]
