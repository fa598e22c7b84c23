"""Filters for log records of libraries: no secrets, no noise, no alarming words."""

import logging
import re
from pathlib import Path

from observability import phrases

_QUIET = {
    # One line per request, with its address: ServiceDesk Plus takes ticket text in the query.
    "httpx": logging.WARNING,
    "httpx2": logging.WARNING,
    "httpcore": logging.WARNING,
    "httpcore2": logging.WARNING,
    "openai": logging.WARNING,
    "kombu": logging.WARNING,
    "psycopg": logging.ERROR,
    "langchain": logging.WARNING,
    "langgraph": logging.WARNING,
    "sqlalchemy": logging.WARNING,
    "alembic": logging.WARNING,
    "asyncio": logging.WARNING,
    "urllib3": logging.WARNING,
    "langsmith": logging.ERROR,
    "uvicorn": logging.INFO,
    "uvicorn.access": logging.ERROR,
    # Celery logs each received and finished task; so do our own lines.
    "celery": logging.WARNING,
    "celery.worker.strategy": logging.WARNING,
    # Each Reject (a job returned when a worker stops) would log a traceback.
    "celery.app.trace": logging.CRITICAL,
}
_EXPORTERS = ("opentelemetry.exporter", "opentelemetry.sdk._shared_internal", "opentelemetry.sdk.trace.export")
_TOLD_AGAIN_SECONDS = 60.0
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


def calm(handler: logging.Handler) -> None:
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

    _collector_told: float | None = None

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name.startswith(_EXPORTERS):
            return self._collector_line(record)
        if record.name == "py.warnings":
            record.msg, record.args = _warning(record), None
            return True
        message = _message(record)
        if record.name == "celery.worker.consumer.connection" or _BROKER_LOST.search(message):
            # By the exception's type name in the text: the record has nothing else of the failure.
            reason = next((reason for name, reason in _REFUSALS.items() if name in message), "connection lost")
            message = phrases.REDIS_UNREACHABLE.template.format(reason=f"{reason}, trying again")
            record.levelno, record.levelname = logging.ERROR, "ERROR"
            record.exc_info = None
        record.msg, record.args = _PASSWORD_IN_URL.sub("***@", message), None
        return True

    def _collector_line(self, record: logging.LogRecord) -> bool:
        """Rewrite a failed export as our own phrase; return True once a minute."""
        if record.levelno < logging.WARNING:
            return False
        if self._collector_told is not None and record.created - self._collector_told < _TOLD_AGAIN_SECONDS:
            return False
        self._collector_told = record.created
        record.levelno, record.levelname = logging.WARNING, "WARNING"
        record.msg, record.args, record.exc_info = phrases.EXPORT_FAILING.template, None, None
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


# Format of `logging.captureWarnings`: `<file>:<line>: <category>: <text>`.
_WARNING = re.compile(r"([^\n]*?):(\d+): (\w+): ")
_PROJECT = Path(__file__).resolve().parent.parent


def _warning(record: logging.LogRecord) -> str:
    """Return a warning's category, and its place in our code.

    The text is omitted: it may quote a server's response.
    """
    found = _WARNING.match(_message(record))
    if found is None:
        return "Warning of a library"
    path, line, category = Path(found[1]), found[2], found[3]
    ours = path.is_relative_to(_PROJECT) and "site-packages" not in path.parts
    return f"{category} at {path.relative_to(_PROJECT).as_posix()}:{line}" if ours else f"{category} of a library"
