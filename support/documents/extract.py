"""`python -m support.documents.extract PATH`: parts of a file as JSON, sandboxed.

A broken or malicious file may exhaust memory and time: this process has low limits of both, and its parent survives
it. Exit status 0, or 1 with the reason on standard error.
"""

import codecs
import json
import logging
import re
import resource
import sys
from collections.abc import Callable
from pathlib import Path

from support.documents.sections import Part, parts_of_html, parts_of_markdown, parts_of_pages, parts_of_text

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
