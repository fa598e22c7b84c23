"""Logging setup: one stream and one format for our lines and those of libraries.

structlog writes our own lines directly to the stream; records of standard logging use the same renderer. Logger names
are never printed (uvicorn's ordinary logger is called `uvicorn.error`).
"""

import logging
import sys
import threading
import time
from collections.abc import Callable, Mapping, MutableMapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, TextIO

import structlog
from opentelemetry import trace

from config.settings import LogSettings, SettingsRefused, load
from observability import foreign, identifiers, phrases
from observability.phrases import Phrase
from observability.rendering import exception_trail, render_json, render_text

_LEVELS: dict[str, int] = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
_Event = MutableMapping[str, Any]
_Processor = Callable[[Any, str, _Event], Any]
_log: Any = structlog.get_logger()


def say(
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
        except SettingsRefused:
            start_logging(LogSettings.model_construct(log_format="text", log_level="INFO", secrets_dir=None), stream)
    for problem in problems:
        say(phrases.SETTINGS_REFUSED, reason=problem)


def start_logging(settings: LogSettings, stream: TextIO | None = None) -> None:
    """Send all lines of this process to `stream` (default: standard output)."""
    out = stream or sys.stdout
    least = _LEVELS[settings.log_level.lower()]
    render: _Processor = render_json if settings.log_format == "json" else render_text
    shared: list[_Processor] = [_add_identifiers, _add_trace_id, _add_timestamp]
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
            foreign_pre_chain=[*shared, structlog.stdlib.add_log_level],
            processors=[_show_exception, structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
        )
    )
    foreign.calm(handler)
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
        for add in (_add_identifiers, _add_trace_id, _add_timestamp):
            event = add(logger, method, event)
        return render(logger, method, event)

    return line


def _add_identifiers(_logger: Any, _method: str, event: _Event) -> _Event:
    """Add the context's identifiers; those of the line itself take precedence."""
    for name, value in identifiers.current().items():
        event.setdefault(name, value)
    return event


def _add_trace_id(_logger: Any, _method: str, event: _Event) -> _Event:
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        event["trace_id"] = f"{context.trace_id:032x}"
    return event


def _add_timestamp(_logger: Any, _method: str, event: _Event) -> _Event:
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
    say(phrases.PROCESS_FAILED, failure=failure or kind())
