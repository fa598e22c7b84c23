"""Spans of SQL statements, without values and without server error messages."""

from collections.abc import AsyncIterator

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from devstack.postgres import Postgres
from observability import tracing
from storage.job_figures import job_figures
from storage.session import Database

PERSON = "text of a person"


@pytest.fixture
async def traced(server: Postgres) -> AsyncIterator[Database]:
    database = Database(server.url, application_name="test", pool_size=1, traced=True)
    yield database
    await database.close()


async def test_a_statement_has_a_span(traced: Database, spans: InMemorySpanExporter) -> None:
    async with traced.across_tenants() as session:
        await session.execute(text("SELECT length(:given)"), {"given": PERSON})
    (span,) = spans.get_finished_spans()
    attributes = dict(span.attributes or {})
    assert (span.name, span.kind, span.status.status_code) == ("SELECT", SpanKind.CLIENT, StatusCode.UNSET)
    assert attributes.pop("server.address") == "127.0.0.1"
    assert int(str(attributes.pop("server.port"))) > 1024
    assert attributes == {
        "db.system.name": "postgresql",
        "db.namespace": "ai_agents",
        "db.operation.name": "SELECT",
        "db.query.text": "SELECT length(%(given)s)",
    }


async def test_a_statement_that_fails_is_red_and_quotes_no_row(traced: Database, spans: InMemorySpanExporter) -> None:
    """Postgres puts the value into its message."""
    with pytest.raises(DBAPIError):
        async with traced.across_tenants() as session:
            await session.execute(text("SELECT CAST(:given AS integer)"), {"given": PERSON})
    (span,) = spans.get_finished_spans()
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes is not None
    assert span.attributes["db.response.status_code"] == "22P02"
    (event,) = span.events
    assert event.attributes is not None
    assert event.attributes["exception.type"] == "psycopg.errors.InvalidTextRepresentation"
    assert PERSON not in span.to_json()


async def test_the_next_statement_of_the_connection_has_a_span_of_its_own(
    traced: Database, spans: InMemorySpanExporter
) -> None:
    """Also after a failed statement and after an untraced one."""
    with pytest.raises(DBAPIError):
        async with traced.across_tenants() as session:
            await session.execute(text("SELECT nobody"))
    async with traced.across_tenants() as session:
        with tracing.untraced():
            await session.execute(text("SELECT 1"))
        await session.execute(text("INSERT INTO delivery_keys SELECT * FROM delivery_keys WHERE false"))
    assert [(span.name, span.status.is_ok) for span in spans.get_finished_spans()] == [
        ("SELECT", False),
        ("INSERT", True),
    ]


async def test_setting_the_tenant_makes_none(traced: Database, spans: InMemorySpanExporter) -> None:
    async with traced.tenant("acme"):
        pass
    assert spans.get_finished_spans() == ()


async def test_the_call_of_a_function_is_named_by_it(traced: Database, spans: InMemorySpanExporter) -> None:
    await job_figures(traced)
    (span,) = spans.get_finished_spans()
    assert span.name == "SELECT job_figures"
    assert dict(span.attributes or {})["db.stored_procedure.name"] == "job_figures"
