"""A document in sections: each below its heading, in parts of a size that a search can tell apart."""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from retrieval.markup import lines_of

# Stands before a heading that was found in markup; of Unicode's private use, so that no text has it.
_MARK = "\ue000"
_HTML_HEADING = re.compile(r"<h[1-6]\b[^<>]*>", re.IGNORECASE)
_MARKDOWN_HEADING = re.compile(r"#{1,6}\s+(.*?)\s*#*")
_FENCES = ("```", "~~~")
_LONGEST_PART = 1500
_LONGEST_TITLE = 300


class Part(NamedTuple):
    """What is found as one: `title` is the document's name and the heading above the text."""

    title: str
    text: str


def parts_of_html(name: str, markup: str) -> list[Part]:
    """Return the parts of a page."""
    marked = _HTML_HEADING.sub(lambda tag: tag.group() + _MARK, markup.replace(_MARK, " "))
    return list(_parts(name, _sections(lines_of(marked).split("\n"))))


def parts_of_markdown(name: str, text: str) -> list[Part]:
    """Return the parts of a Markdown file; of plain text, which has no headings, too."""
    return list(_parts(name, _sections(_with_marks(text.replace(_MARK, " ").splitlines()))))


def parts_of_pages(name: str, pages: Iterable[str]) -> list[Part]:
    """Return the parts of texts that are numbered, and have no other headings."""
    sections = ((f"page {number}", page.split("\n")) for number, page in enumerate(pages, 1))
    return list(_parts(name, sections))


def _with_marks(lines: Iterable[str]) -> Iterator[str]:
    in_code = False
    for line in lines:
        in_code ^= line.lstrip().startswith(_FENCES)
        heading = None if in_code else _MARKDOWN_HEADING.fullmatch(line)
        yield line if heading is None else f"{_MARK}{heading.group(1)}"


def _sections(lines: Iterable[str]) -> Iterator[tuple[str, list[str]]]:
    heading, below = "", list[str]()
    for line in lines:
        if line.startswith(_MARK):
            yield heading, below
            heading, below = line.lstrip(_MARK).strip(), []
        else:
            below.append(line)
    yield heading, below


def _parts(name: str, sections: Iterable[tuple[str, list[str]]]) -> Iterator[Part]:
    for heading, lines in sections:
        title = f"{name}: {heading}" if heading and heading != name else name
        part = ""
        for word in " ".join(lines).split():
            if part and len(part) + len(word) > _LONGEST_PART:
                yield Part(title[:_LONGEST_TITLE], part)
                part = ""
            part = f"{part} {word}".strip()
        if part:
            yield Part(title[:_LONGEST_TITLE], part)
