"""Spans of SQL statements, by OpenTelemetry's conventions for databases.

Not by the instrumentation for SQLAlchemy, which counts each checkout of a pool and costs more for each statement than
the rest of a span: docs/adr/0009-which-spans-a-job-has.md.
"""

import re
from typing import Any

from opentelemetry.trace import Span
from sqlalchemy import URL, Connection, Engine, ExceptionContext, event

from observability import tracing

_SPAN = "ai-agents span"
# Our functions have names of several words.
_CALL = re.compile(r"SELECT (?:\* FROM )?(\w+_\w+)\(")


class StatementSpans:
    """Spans of one engine's statements.

    A call of a function has its name. Spans have the statement's text without values, and a failure's type and SQLSTATE
    without the server's message, which may quote a row.
    """

    def __init__(self, url: URL) -> None:
        self._server: dict[str, str | int] = {
            "db.system.name": "postgresql",
            "db.namespace": url.database or "",
            "server.address": url.host or "",
            "server.port": url.port or 5432,
        }

    def begin(self, statement: str) -> Span | None:
        if tracing.is_untraced():
            return None
        operation = name = statement.split(None, 1)[0].upper()
        attributes = {**self._server, "db.operation.name": operation, "db.query.text": statement}
        if called := _CALL.match(statement):
            attributes["db.stored_procedure.name"] = called[1]
            name = f"{operation} {called[1]}"
        return tracing.call_span(name, attributes)

    @staticmethod
    def fail(span: Span, failure: BaseException) -> None:
        state = getattr(failure, "sqlstate", None)
        if state is not None:
            span.set_attribute("db.response.status_code", str(state))
        tracing.record_failure(span, failure)


def trace_statements(engine: Engine) -> StatementSpans:
    spans = StatementSpans(engine.url)

    def begin(connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        if span := spans.begin(statement):
            connection.info[_SPAN] = span

    def end(connection: Connection, *_: Any) -> None:
        span: Span | None = connection.info.pop(_SPAN, None)
        if span is not None:
            span.end()

    def fail(failure: ExceptionContext) -> None:
        span: Span | None = failure.connection.info.pop(_SPAN, None) if failure.connection is not None else None
        if span is not None:
            spans.fail(span, failure.original_exception)
            span.end()

    event.listen(engine, "before_cursor_execute", begin)
    event.listen(engine, "after_cursor_execute", end)
    event.listen(engine, "handle_error", fail)
    return spans
