"""`python -m knowledge.document_parser PATH`: parts of a file as JSON, sandboxed.

A broken or malicious file may exhaust memory and time: this process has low limits of both, and its parent survives it.
Exits with 0, or with 1 and the reason on standard error. Documents are split by heading into parts small enough for
search.
"""

import codecs
import json
import logging
import re
import resource
import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from markdown_it import MarkdownIt

from integrations.plain_text import INVISIBLE, lines_of
from knowledge.passages import passages_of

MAX_SECONDS = 60
_MAX_MEMORY = 1 << 30
_MAX_CHARACTERS = 5_000_000
_MAX_PARTS = 5_000
_MAX_PART_LENGTH = 1500
_MAX_TITLE_LENGTH = 300
# Container memory left for its other processes.
_SPARED_MEMORY = 64 << 20
_MIN_MEMORY = 128 << 20
_CGROUP = Path("/sys/fs/cgroup")
# Marks a heading found in markup: a private use character of Unicode, removed from texts.
_MARK = "\ue000"
_MARK_IN_HTML = re.compile("\ue000|&#(?:xe000|57344);?", re.IGNORECASE)
_HTML_HEADING = re.compile(r"""<h[1-6]\b(?:"[^"]*"|'[^']*'|[^<>"'])*>""", re.IGNORECASE)
_DATA = re.compile(r"data:[\w/+.-]+;base64,[A-Za-z0-9+/=]+")
# Encoding of Windows before UTF-8, one byte a character.
_WINDOWS = "cp1252"
# Declared encoding of an HTML page (https://html.spec.whatwg.org/#charset).
_DECLARED = re.compile(rb"<meta\b[^>]*\bcharset\s*=\s*[\"']?\s*([A-Za-z0-9._:-]+)", re.IGNORECASE)


class UnreadableError(Exception):
    """The file can't be read; the text contains the reason."""


class Part(NamedTuple):
    """Unit of search; `title` is the document's name and the text's heading."""

    title: str
    text: str


def parts_of(path: Path) -> list[Part]:
    read = READERS.get(path.suffix.lower())
    if read is None:
        raise UnreadableError(f"files of this kind are not read, but {', '.join(sorted(READERS))}")
    parts = list(_parts(path.stem, read(path)))
    if sum(len(part.text) for part in parts) > _MAX_CHARACTERS:
        raise UnreadableError(f"it has more than {_MAX_CHARACTERS:,} characters of text")
    if len(parts) > _MAX_PARTS:
        raise UnreadableError(f"it has more than {_MAX_PARTS:,} parts")
    if not parts:
        raise UnreadableError("there is no text in it; pages that were scanned have none")
    return parts


Section = tuple[str, list[str]]
"""A heading, and the lines below it."""


def _markdown(path: Path) -> Iterator[Section]:
    lines = _plain(_DATA.sub(" ", _text_of(path)))
    # The same lines as ours: other ends of lines than \n were replaced. Code and tables have no headings.
    tokens = MarkdownIt().disable("inline").parse("\n".join(lines))
    for token, inline in pairwise(tokens):
        if token.type == "heading_open" and token.level == 0 and token.map:
            begin, end = token.map
            lines[begin:end] = [_MARK + inline.content.replace("\n", " "), *[""] * (end - begin - 1)]
    return _sections(lines)


def _text(path: Path) -> Iterator[Section]:
    yield "", _plain(_text_of(path))


def _html(path: Path) -> Iterator[Section]:
    return _sections_of_html(_text_of(path))


def _pdf(path: Path) -> Iterator[Section]:
    from pypdf import PdfReader  # noqa: PLC0415 -- for this kind of file alone
    from pypdf.errors import DependencyError  # noqa: PLC0415

    # pypdf logs each oddity of a file.
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    try:
        reader = PdfReader(path)
        if reader.is_encrypted and not reader.decrypt(""):
            raise UnreadableError("it is encrypted")
    except DependencyError:
        raise UnreadableError("it is encrypted in a way that is not read here (AES)") from None
    for number, page in enumerate(reader.pages, 1):
        yield f"page {number}", page.extract_text().split("\n")


def _docx(path: Path) -> Iterator[Section]:
    import mammoth  # noqa: PLC0415 -- for this kind of file alone

    with path.open("rb") as file:
        no_pictures = mammoth.images.img_element(lambda _: {"src": ""})
        return _sections_of_html(mammoth.convert_to_html(file, convert_image=no_pictures).value)


READERS: dict[str, Callable[[Path], Iterator[Section]]] = {
    ".md": _markdown,
    ".markdown": _markdown,
    ".txt": _text,
    ".html": _html,
    ".htm": _html,
    ".pdf": _pdf,
    ".docx": _docx,
}


def _text_of(path: Path) -> str:
    content = path.read_bytes()
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16", errors="replace")
    if b"\0" in content:
        raise UnreadableError("it is no text")
    declared = _DECLARED.search(content[:1024])
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        encoding = declared[1].decode() if declared else _WINDOWS
    try:
        return content.decode(encoding, errors="replace")
    except LookupError:
        return content.decode(_WINDOWS, errors="replace")


def _plain(text: str) -> list[str]:
    return INVISIBLE.sub("", text.replace(_MARK, " ")).splitlines()


def _sections_of_html(markup: str) -> Iterator[Section]:
    marked = _HTML_HEADING.sub(lambda tag: f"{tag.group()[:3]}>{_MARK}", _MARK_IN_HTML.sub(" ", markup))
    return _sections(lines_of(marked).split("\n"))


def _sections(lines: Iterable[str]) -> Iterator[Section]:
    heading, below, is_named = "", list[str](), True
    for line in lines:
        text = line.lstrip("> ")
        if text.startswith(_MARK):
            if any(each.strip() for each in below):
                yield heading, below
                heading = ""
            text = text.lstrip(_MARK).strip()
            heading, below, is_named = " / ".join(filter(None, (heading, text))), [], bool(text)
        elif not is_named and line.strip():
            # The heading's text is in an element of its own.
            heading, is_named = " / ".join(filter(None, (heading, line.strip()))), True
        else:
            below.append(line)
    yield heading, below


def _parts(name: str, sections: Iterable[Section]) -> Iterator[Part]:
    for heading, lines in sections:
        title = f"{name}: {heading}" if heading and heading != name else name
        # A heading without text is found by itself.
        for part in passages_of("\n".join(lines).strip() or heading, _MAX_PART_LENGTH):
            yield Part(title[:_MAX_TITLE_LENGTH], part)


def most_memory(cgroup: Path = _CGROUP) -> int:
    """Return the memory limit in bytes: in a container, at most its free rest."""
    try:
        most, used = ((cgroup / f"memory.{name}").read_text() for name in ("max", "current"))
        return max(_MIN_MEMORY, min(_MAX_MEMORY, int(most) - int(used) - _SPARED_MEMORY))
    except (OSError, ValueError):
        # No such files, or "max": no limit.
        return _MAX_MEMORY


def main(arguments: list[str]) -> int:
    resource.setrlimit(resource.RLIMIT_CPU, (MAX_SECONDS, MAX_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (most_memory(), _MAX_MEMORY))
    try:
        json.dump([part._asdict() for part in parts_of(Path(arguments[0]))], sys.stdout)
    except UnreadableError as unreadable:
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
