"""Logging: one stream and one format for our lines and those of libraries.

structlog writes our own lines directly to the stream; records of standard logging use the same renderer. Logger names
are never printed (uvicorn's ordinary logger is called `uvicorn.error`).

text: `2026-11-04T09:00:00.000Z info <phrase> | ticket_id: 12345, tenant_id: acme, job_id: ..., trace_id: ...`

json: one object with `timestamp`, `level`, `event` (the phrase), `ids` (the identifiers in the form that the FAQ greps
for, `ticket_id: 12345, ...`) and each identifier as a field.

Values can't start a new line or a terminal sequence, and their length is limited. Passwords and exception messages are
removed from libraries' records.
"""

import logging
import re
import sys
import threading
import time
from collections.abc import Callable, Mapping, MutableMapping
from datetime import UTC, datetime
from functools import lru_cache
from json.encoder import encode_basestring
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

import structlog
from opentelemetry import trace

from config.settings import LogSettings, SettingsError, load
from observability import identifiers, log_events
from observability.identifiers import TAGS
from observability.log_events import Phrase

_LEVELS: dict[str, int] = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
_Event = MutableMapping[str, Any]
_Processor = Callable[[Any, str, _Event], Any]
_log: Any = structlog.get_logger()
_IDENTIFIER_ORDER = (*TAGS, "trace_id")
_MAX_VALUE_LENGTH = 200
_MAX_EVENT_LENGTH = 1000
_MAX_EXCEPTION_LENGTH = 4000
# C0 and C1 controls, DEL, line and paragraph separators, and marks that reorder text on a terminal.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")
_FRAMES_SHOWN = 12
_PROJECT = Path(__file__).resolve().parent.parent
# Format of `logging.captureWarnings`: `<file>:<line>: <category>: <text>`.
_WARNING = re.compile(r"([^\n]*?):(\d+): (\w+): ")
_QUIET = {
    # Their line per request has the address, and ServiceDesk Plus takes ticket text in the query.
    **dict.fromkeys(("httpx", "httpx2", "httpcore", "httpcore2", "openai", "urllib3"), logging.WARNING),
    **dict.fromkeys(("alembic", "asyncio", "kombu", "langchain", "langgraph", "sqlalchemy"), logging.WARNING),
    **dict.fromkeys(("langsmith", "psycopg", "uvicorn.access"), logging.ERROR),
    "uvicorn": logging.INFO,
    # Celery logs each received and finished task; so do our own lines.
    **dict.fromkeys(("celery", "celery.worker.strategy"), logging.WARNING),
    # Each Reject (a job returned when a worker stops) would log a traceback.
    "celery.app.trace": logging.CRITICAL,
}
_EXPORTERS = ("opentelemetry.exporter", "opentelemetry.sdk._shared_internal", "opentelemetry.sdk.trace.export")
_LOG_AGAIN_SECONDS = 60.0
_PASSWORD_IN_URL = re.compile(r"(?<=://)[^/\s]*@")
_BROKER_LOST = re.compile(r"Connection to broker lost|Cannot connect to|Trying again", re.IGNORECASE)

_REFUSALS = {
    "AuthenticationError": "password refused",
    "ReadOnlyError": "it is read-only",
    "BusyLoadingError": "it is loading its data",
    "ClusterDownError": "its cluster is down",
    "MasterDownError": "its master is down",
    "OutOfMemoryError": "its memory is full",
    "ResponseError": "it refuses commands",
    "NoPermissionError": "permission refused",
}


def log_event(
    phrase: Phrase,
    given: Mapping[str, object] | None = None,
    *,
    failure: BaseException | None = None,
    also: Mapping[str, object] | None = None,
    **values: object,
) -> None:
    """Log one line.

    `values` (or the mapping `given`) fill the phrase's places; identifiers among them are also bound to the line.
    `also` adds identifiers to this line only. `failure` is logged as types and places, without its message.
    """
    values |= given or {}
    fields: dict[str, object] = {
        name: value for name, value in values.items() if name in ("ticket_id", "tenant_id", "job_id")
    }
    fields |= also or {}
    if failure is not None:
        fields["exception"] = exception_trail(failure)
    log = _log if structlog.is_configured() else structlog.get_logger()
    getattr(log, phrase.level)(phrase.template.format(**values), _promised=phrase.promised, **fields)


def refuse_start(problems: list[str], stream: TextIO | None = None) -> None:
    """Log the problems that prevent a start, one line each.

    The format is text if the settings have none. `stream` is used before logging has started (default: standard
    output).
    """
    if not structlog.is_configured():
        try:
            start_logging(load(LogSettings), stream)
        except SettingsError:
            start_logging(LogSettings.model_construct(log_format="text", log_level="INFO", secrets_dir=None), stream)
    for problem in problems:
        log_event(log_events.SETTINGS_REFUSED, reason=problem)


def start_logging(settings: LogSettings, stream: TextIO | None = None) -> None:
    """Send all lines of this process to `stream` (default: standard output)."""
    out = stream or sys.stdout
    least = _LEVELS[settings.log_level.lower()]
    render: _Processor = render_json if settings.log_format == "json" else render_text
    structlog.configure(
        processors=[_one_line(least, render)],
        wrapper_class=structlog.BoundLogger,
        logger_factory=structlog.WriteLoggerFactory(out),
        cache_logger_on_first_use=False,
    )
    global _log  # noqa: PLW0603 -- as global as structlog's configuration, which it is bound to: a quarter of a line's time
    _log = structlog.get_logger().bind()
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[_add_context, structlog.stdlib.add_log_level],
            processors=[_show_exception, structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
        )
    )
    _calm(handler)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    handler.setLevel(least)
    # Debug records of libraries contain payloads, statements and headers: never log them, whatever LOG_LEVEL is.
    root.setLevel(logging.INFO)
    logging.captureWarnings(capture=True)
    sys.excepthook = _uncaught
    threading.excepthook = lambda args: _uncaught(args.exc_type, args.exc_value, args.exc_traceback)


def _one_line(least: int, render: _Processor) -> _Processor:
    """Combine the processors of our lines: structlog's own chain is slower."""

    def line(logger: Any, method: str, event: _Event) -> Any:
        if not event.pop("_promised", False) and _LEVELS[method] < least:
            raise structlog.DropEvent
        event["level"] = method
        return render(logger, method, _add_context(logger, method, event))

    return line


def _add_context(_logger: Any, _method: str, event: _Event) -> _Event:
    for name, value in identifiers.current().items():
        event.setdefault(name, value)
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        event["trace_id"] = f"{context.trace_id:032x}"
    seconds, milliseconds = divmod(time.time_ns() // 1_000_000, 1000)
    event["timestamp"] = f"{_to_the_second(seconds)}.{milliseconds:03}Z"
    return event


@lru_cache(maxsize=2)
def _to_the_second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _show_exception(_logger: Any, _method: str, event: _Event) -> _Event:
    """Return a library's traceback as one line without messages."""
    failure = event.pop("exc_info", None)
    if failure is True:
        failure = sys.exc_info()
    if isinstance(failure, tuple):
        failure = failure[1]
    if isinstance(failure, BaseException):
        event["exception"] = exception_trail(failure)
    event.pop("stack_info", None)
    return event


def _uncaught(kind: type[BaseException], failure: BaseException | None, _traceback: object) -> None:
    log_event(log_events.PROCESS_FAILED, failure=failure or kind())


def plain(value: object, longest: int = _MAX_VALUE_LENGTH) -> str:
    r"""Return `value` on one line: unprintable as `\xNN`, cut at `longest` characters."""
    text = str(value)
    if len(text) > longest:
        text = text[: longest - 1] + "…"
    if text.isprintable():
        return text  # the usual case, at a third of the time
    return _UNPRINTABLE.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def _identifiers(event: MutableMapping[str, Any]) -> dict[str, str]:
    names = [name for name in _IDENTIFIER_ORDER if name in event]
    if len(names) < len(event):
        names += [name for name in event if name not in _IDENTIFIER_ORDER]
    return {
        name: plain(event[name], _MAX_EXCEPTION_LENGTH if name == "exception" else _MAX_VALUE_LENGTH) for name in names
    }


def render_text(_logger: object, _method: str, event: MutableMapping[str, Any]) -> str:
    timestamp, level, phrase = event.pop("timestamp"), event.pop("level"), event.pop("event")
    line = f"{timestamp} {level:<7} {plain(phrase, _MAX_EVENT_LENGTH)}"
    identifiers = ", ".join(f"{name}: {value}" for name, value in _identifiers(event).items())
    return f"{line} | {identifiers}" if identifiers else line


def render_json(_logger: object, _method: str, event: MutableMapping[str, Any]) -> str:
    timestamp, level, phrase = event.pop("timestamp"), event.pop("level"), event.pop("event")
    identifiers = _identifiers(event)
    line = {"timestamp": timestamp, "level": level, "event": plain(phrase, _MAX_EVENT_LENGTH)}
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
    visited: set[int] = set()
    link: BaseException | None = failure
    while link is not None and id(link) not in visited:
        visited.add(id(link))
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
        short_path = path.relative_to(_PROJECT) if path.is_relative_to(_PROJECT) else Path(*path.parts[-2:])
        frames.append(f"{short_path.as_posix()}:{traceback.tb_lineno} {code.co_name}")
        traceback = traceback.tb_next
    return frames[-_FRAMES_SHOWN:]


def _calm(handler: logging.Handler) -> None:
    for name, level in _QUIET.items():
        logging.getLogger(name).setLevel(level)
    for name in list(logging.root.manager.loggerDict):
        # Libraries that added a handler or disabled propagation use the root handler too.
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    handler.addFilter(_Fit())


class _Fit(logging.Filter):
    """Drops or shortens records of libraries, and removes passwords from addresses."""

    _collector_logged: float | None = None

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name.startswith(_EXPORTERS):
            return self._collector_line(record)
        if record.name == "py.warnings":
            record.msg, record.args = _warning(record), None
            return True
        message = _message(record)
        if record.name == "celery.worker.consumer.connection" or _BROKER_LOST.search(message):
            # The type name of the exception in the text is all that the record has of the failure.
            reason = next((reason for name, reason in _REFUSALS.items() if name in message), "connection lost")
            message = log_events.REDIS_UNREACHABLE.template.format(reason=f"{reason}, trying again")
            record.levelno, record.levelname = logging.ERROR, "ERROR"
            record.exc_info = None
        record.msg, record.args = _PASSWORD_IN_URL.sub("***@", message), None
        return True

    def _collector_line(self, record: logging.LogRecord) -> bool:
        """Rewrite a failed export as our own phrase; return True once a minute."""
        if record.levelno < logging.WARNING:
            return False
        if self._collector_logged is not None and record.created - self._collector_logged < _LOG_AGAIN_SECONDS:
            return False
        self._collector_logged = record.created
        record.levelno, record.levelname = logging.WARNING, "WARNING"
        record.msg, record.args, record.exc_info = log_events.EXPORT_FAILING.template, None, None
        return True


def _message(record: logging.LogRecord) -> str:
    if isinstance(record.args, tuple):
        # A quoted exception would add its message.
        record.args = tuple(type(arg).__name__ if isinstance(arg, BaseException) else arg for arg in record.args)
    try:
        message = record.getMessage()
    except (TypeError, ValueError, KeyError):  # a library's formatting mistake
        message = str(record.msg)
    # The following lines repeat the exception with its message.
    return message.splitlines()[0] if record.exc_info and message else message


def _warning(record: logging.LogRecord) -> str:
    """Return a warning's category, and its place in our code.

    The text is omitted: it may quote a server's response.
    """
    match = _WARNING.match(_message(record))
    if match is None:
        return "Warning of a library"
    path, line, category = Path(match[1]), match[2], match[3]
    is_own = path.is_relative_to(_PROJECT) and "site-packages" not in path.parts
    return f"{category} at {path.relative_to(_PROJECT).as_posix()}:{line}" if is_own else f"{category} of a library"


class Outage:
    """A dependency's last known state: down from `seen` until `over`."""

    def __init__(self, phrase: Phrase, again_seconds: float = 60.0, monotonic: Callable[[], float] = time.monotonic):
        self._phrase = phrase
        self._log_again_seconds = again_seconds
        self._monotonic = monotonic
        self._logged_at: float | None = None

    def seen(self, reason: str, failure: BaseException | None = None) -> None:
        """Record a failed call; log it at once, then at most once a minute."""
        now = self._monotonic()
        if self._logged_at is None or now - self._logged_at >= self._log_again_seconds:
            self._logged_at = now
            log_event(self._phrase, reason=reason, failure=failure)

    def over(self) -> None:
        """End the outage: the next failure is logged at once."""
        self._logged_at = None
