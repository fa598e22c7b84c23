"""What libraries log, made fit for support: no secrets, no noise, no failure word in a healthy line."""

import logging
import re
from pathlib import Path

from observability import phrases

_QUIET = {
    # These log a line for each request, with its address: ServiceDesk Plus takes ticket text in the query.
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
    # Celery tells of each task that it received or finished; our own lines do that.
    "celery": logging.WARNING,
    "celery.worker.strategy": logging.WARNING,
    # Each Reject (a job given back when a worker stops) would be a traceback here.
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
    """Set the levels of noisy libraries, and put the filters in front of `handler`."""
    for name, level in _QUIET.items():
        logging.getLogger(name).setLevel(level)
    for name in list(logging.root.manager.loggerDict):
        # Libraries that brought a handler or a closed road of their own join the one stream.
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    handler.addFilter(_Fit())


class _Fit(logging.Filter):
    """Says whether a library's record is printed; addresses lose their passwords, and some texts get shorter."""

    _collector_told: float | None = None

    def filter(self, record: logging.LogRecord) -> bool:
        """Mend the record, and return True if it is to be printed."""
        if record.name.startswith(_EXPORTERS):
            return self._collector_line(record)
        if record.name == "py.warnings":
            record.msg, record.args = _warning(record), None
            return True
        message = _message(record)
        if record.name == "celery.worker.consumer.connection" or _BROKER_LOST.search(message):
            # By its type: that is all that is left of a failure here.
            reason = next((reason for name, reason in _REFUSALS.items() if name in message), "connection lost")
            message = phrases.REDIS_UNREACHABLE.template.format(reason=f"{reason}, trying again")
            record.levelno, record.levelname = logging.ERROR, "ERROR"
            record.exc_info = None
        record.msg, record.args = _PASSWORD_IN_URL.sub("***@", message), None
        return True

    def _collector_line(self, record: logging.LogRecord) -> bool:
        """Put an exporter's failed try into our words, and return True if it is to be printed: once a minute."""
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
        # A failure that is quoted in a line would bring its message along.
        record.args = tuple(type(arg).__name__ if isinstance(arg, BaseException) else arg for arg in record.args)
    try:
        message = record.getMessage()
    except (TypeError, ValueError, KeyError):  # arguments that do not fit: a library's mistake must not be ours
        message = str(record.msg)
    # What follows a failure's first line repeats the exception, with its message.
    return message.splitlines()[0] if record.exc_info and message else message


# How `logging.captureWarnings` hands a warning over: `<file>:<line>: <category>: <text>`.
_WARNING = re.compile(r"([^\n]*?):(\d+): (\w+): ")
_PROJECT = Path(__file__).resolve().parent.parent


def _warning(record: logging.LogRecord) -> str:
    """Return a warning's category, and its place if that is ours: its text may quote what a server sent."""
    found = _WARNING.match(_message(record))
    if found is None:
        return "Warning of a library"
    path, line, category = Path(found[1]), found[2], found[3]
    ours = path.is_relative_to(_PROJECT) and "site-packages" not in path.parts
    return f"{category} at {path.relative_to(_PROJECT).as_posix()}:{line}" if ours else f"{category} of a library"
