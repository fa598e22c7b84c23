"""A span for each SQL statement of an engine, named and tagged as OpenTelemetry's conventions for databases say.

By hand and not by the instrumentation for SQLAlchemy, which counts each connection that comes out of a pool and goes
back, and costs more for each statement than all the rest of a span: docs/adr/0009-which-spans-a-job-has.md.
"""

import re
from typing import Any

from opentelemetry.trace import Span
from sqlalchemy import URL, Connection, Engine, ExceptionContext, event

from observability import tracing

_SPAN = "ai-agents span"
# Each function of ours has a name of several words.
_CALL = re.compile(r"SELECT (?:\* FROM )?(\w+_\w+)\(")


class StatementSpans:
    """Makes the spans of one engine's statements.

    The call of a function is named by it. Of a statement the text is told and no value; of a failure its type and its
    SQLSTATE, and never the server's message, which may quote a row.
    """

    def __init__(self, url: URL) -> None:
        self._server: dict[str, str | int] = {
            "db.system.name": "postgresql",
            "db.namespace": url.database or "",
            "server.address": url.host or "",
            "server.port": url.port or 5432,
        }

    def begin(self, statement: str) -> Span | None:
        """Return the span of a statement, which begins now; None in a block that is `untraced`."""
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
        """Tell of the statement's failure."""
        state = getattr(failure, "sqlstate", None)
        if state is not None:
            span.set_attribute("db.response.status_code", str(state))
        tracing.record_failure(span, failure)


def trace_statements(engine: Engine) -> StatementSpans:
    """Have each statement of the engine make a span, and return what makes them for those that go past it."""
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
