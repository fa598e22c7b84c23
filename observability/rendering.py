"""Rendering of log lines as text and JSON.

text: `2026-11-04T09:00:00.000Z info <phrase> | ticket_id: 12345, tenant_id: acme, job_id: ..., trace_id: ...`

json: one object with `timestamp`, `level`, `event` (the phrase), `ids` (the identifiers in the form that the FAQ greps
for, `ticket_id: 12345, ...`) and each identifier as a field of its own.

Values can't start a new line or a terminal sequence, and their length is limited.
"""

import re
from collections.abc import MutableMapping
from json.encoder import encode_basestring
from pathlib import Path
from types import TracebackType
from typing import Any

from observability.identifiers import TAGS

IDENTIFIER_ORDER = (*TAGS, "trace_id")
LONGEST_VALUE = 200
LONGEST_EVENT = 1000
LONGEST_EXCEPTION = 4000
# C0 and C1 controls, DEL, line and paragraph separators, and marks that reorder text on a terminal.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")
_FRAMES_SHOWN = 12
_PROJECT = Path(__file__).resolve().parent.parent


def plain(value: object, longest: int = LONGEST_VALUE) -> str:
    r"""Return `value` on one line: unprintable as `\xNN`, cut at `longest` characters."""
    text = str(value)
    if len(text) > longest:
        text = text[: longest - 1] + "…"
    if text.isprintable():
        return text  # the usual case, at a third of the time
    return _UNPRINTABLE.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def _identifiers(event: MutableMapping[str, Any]) -> dict[str, str]:
    names = [name for name in IDENTIFIER_ORDER if name in event]
    if len(names) < len(event):
        names += [name for name in event if name not in IDENTIFIER_ORDER]
    return {name: plain(event[name], LONGEST_EXCEPTION if name == "exception" else LONGEST_VALUE) for name in names}


def render_text(_logger: object, _method: str, event: MutableMapping[str, Any]) -> str:
    """Return the line as text (a structlog renderer)."""
    timestamp, level, phrase = event.pop("timestamp"), event.pop("level"), event.pop("event")
    line = f"{timestamp} {level:<7} {plain(phrase, LONGEST_EVENT)}"
    identifiers = ", ".join(f"{name}: {value}" for name, value in _identifiers(event).items())
    return f"{line} | {identifiers}" if identifiers else line


def render_json(_logger: object, _method: str, event: MutableMapping[str, Any]) -> str:
    """Return the line as one JSON object (a structlog renderer)."""
    timestamp, level, phrase = event.pop("timestamp"), event.pop("level"), event.pop("event")
    identifiers = _identifiers(event)
    line = {"timestamp": timestamp, "level": level, "event": plain(phrase, LONGEST_EVENT)}
    if identifiers:
        line["ids"] = ", ".join([f"{name}: {value}" for name, value in identifiers.items()])
    # All values are strings and names are plain words: the object encoder would take twice the time.
    return (
        "{" + ", ".join([f'"{name}": {encode_basestring(text)}' for name, text in (line | identifiers).items()]) + "}"
    )


def exception_trail(failure: BaseException) -> str:
    """Return the exception, its causes and its frames on one line, innermost first.

    Messages are omitted: they may quote a row, an address with a password or a ticket.
    """
    parts: list[str] = []
    seen: set[int] = set()
    link: BaseException | None = failure
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        name = f"{type(link).__module__}.{type(link).__qualname__}".removeprefix("builtins.")
        frames = " < ".join(reversed(_frames(link.__traceback__)))
        parts.append(f"{name} at {frames}" if frames else name)
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    return " caused by ".join(parts)


def _frames(traceback: TracebackType | None) -> list[str]:
    frames: list[str] = []
    while traceback is not None:
        code = traceback.tb_frame.f_code
        path = Path(code.co_filename)
        shown = path.relative_to(_PROJECT) if path.is_relative_to(_PROJECT) else Path(*path.parts[-2:])
        frames.append(f"{shown.as_posix()}:{traceback.tb_lineno} {code.co_name}")
        traceback = traceback.tb_next
    return frames[-_FRAMES_SHOWN:]
