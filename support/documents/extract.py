"""Documents split by heading into parts small enough for search."""

import codecs
import json
import logging
import re
import resource
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from retrieval.markup import INVISIBLE, lines_of

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


MOST_SECONDS = 60
_MOST_MEMORY = 1 << 30
_MOST_CHARACTERS = 5_000_000
_MOST_PARTS = 5_000
# Container memory left for its other processes.
_SPARED_MEMORY = 64 << 20
_LEAST_MEMORY = 128 << 20
_CGROUP = Path("/sys/fs/cgroup")


class Unreadable(Exception):
    """The file can't be read; the text has the reason."""


def parts_of(path: Path) -> list[Part]:
    """Return the parts of a file by its suffix. Raises Unreadable."""
    read = READERS.get(path.suffix.lower())
    if read is None:
        raise Unreadable(f"files of this kind are not read, but {', '.join(sorted(READERS))}")
    parts = read(path)
    if sum(len(part.text) for part in parts) > _MOST_CHARACTERS:
        raise Unreadable(f"it has more than {_MOST_CHARACTERS:,} characters of text")
    if len(parts) > _MOST_PARTS:
        raise Unreadable(f"it has more than {_MOST_PARTS:,} parts")
    if not parts:
        raise Unreadable("there is no text in it; pages that were scanned have none")
    return parts


def _markdown(path: Path) -> list[Part]:
    return parts_of_markdown(path.stem, _text_of(path))


def _text(path: Path) -> list[Part]:
    return parts_of_text(path.stem, _text_of(path))


def _html(path: Path) -> list[Part]:
    return parts_of_html(path.stem, _text_of(path))


def _pdf(path: Path) -> list[Part]:
    from pypdf import PdfReader  # noqa: PLC0415 -- for this kind of file alone
    from pypdf.errors import DependencyError  # noqa: PLC0415

    # pypdf logs each oddity of a file.
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    try:
        reader = PdfReader(path)
        if reader.is_encrypted and not reader.decrypt(""):
            raise Unreadable("it is encrypted")
    except DependencyError:
        raise Unreadable("it is encrypted in a way that is not read here (AES)") from None
    return parts_of_pages(path.stem, (page.extract_text() for page in reader.pages))


def _docx(path: Path) -> list[Part]:
    import mammoth  # noqa: PLC0415 -- for this kind of file alone

    with path.open("rb") as file:
        no_pictures = mammoth.images.img_element(lambda _: {"src": ""})
        return parts_of_html(path.stem, mammoth.convert_to_html(file, convert_image=no_pictures).value)


# Encoding of Windows before UTF-8, one byte a character.
_WINDOWS = "cp1252"
# Declared encoding of an HTML page (https://html.spec.whatwg.org/#charset).
_DECLARED = re.compile(rb"<meta\b[^>]*\bcharset\s*=\s*[\"']?\s*([A-Za-z0-9._:-]+)", re.IGNORECASE)


def _text_of(path: Path) -> str:
    content = path.read_bytes()
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16", errors="replace")
    if b"\0" in content:
        raise Unreadable("it is no text")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        pass
    declared = _DECLARED.search(content[:1024])
    try:
        return content.decode(declared[1].decode() if declared else _WINDOWS, errors="replace")
    except LookupError:
        return content.decode(_WINDOWS, errors="replace")


def most_memory(cgroup: Path = _CGROUP) -> int:
    """Return the memory limit in bytes; in a container at most the rest there."""
    try:
        most, used = ((cgroup / f"memory.{name}").read_text() for name in ("max", "current"))
        return max(_LEAST_MEMORY, min(_MOST_MEMORY, int(most) - int(used) - _SPARED_MEMORY))
    except (OSError, ValueError):
        # No such files, or "max": no limit.
        return _MOST_MEMORY


READERS: dict[str, Callable[[Path], list[Part]]] = {
    ".md": _markdown,
    ".markdown": _markdown,
    ".txt": _text,
    ".html": _html,
    ".htm": _html,
    ".pdf": _pdf,
    ".docx": _docx,
}


def main(words: list[str]) -> int:
    resource.setrlimit(resource.RLIMIT_CPU, (MOST_SECONDS, MOST_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (most_memory(), _MOST_MEMORY))
    try:
        json.dump([part._asdict() for part in parts_of(Path(words[0]))], sys.stdout)
    except Unreadable as unreadable:
        reason = str(unreadable)
    except OSError as failure:
        reason = f"it can't be opened ({failure.strerror})"
    except MemoryError:
        reason = "it takes too much memory"
    except Exception as failure:  # noqa: BLE001 -- libraries raise anything for a broken file
        reason = f"it is broken ({type(failure).__name__})"
    else:
        return 0
    sys.stderr.write(reason)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
