"""A span per request of the HTTP client: conventional attributes, no content."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress

import httpx2
import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from integrations.http import TracedTransport
from observability import tracing


def client(answer: httpx2.MockTransport) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=TracedTransport(answer))


@pytest.mark.parametrize(
    ("asked", "told", "port"),
    [
        ("https://desk.example/app/it%20desk/api?input_data=text", "https://desk.example/app/it%20desk/api", 443),
        ("http://user:password@desk.example:8080/api#part", "http://desk.example:8080/api", 8080),
    ],
)
async def test_a_request_has_a_span_with_its_address_and_without_its_query(
    asked: str, told: str, port: int, spans: InMemorySpanExporter
) -> None:
    seen: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return httpx2.Response(201)

    async with client(httpx2.MockTransport(answer)) as http:
        await http.post(asked, content=b"text of a ticket")
    (span,) = spans.get_finished_spans()
    assert (span.name, span.kind, span.status.status_code) == ("POST", SpanKind.CLIENT, StatusCode.UNSET)
    assert span.attributes == {
        "http.request.method": "POST",
        "http.response.status_code": 201,
        "server.address": "desk.example",
        "server.port": port,
        "url.full": told,
    }
    assert "traceparent" not in seen[0].headers


async def refused(_: httpx2.Request) -> httpx2.Response:
    return httpx2.Response(429)


async def unreachable(_: httpx2.Request) -> httpx2.Response:
    raise httpx2.ConnectError("text of a stranger")


async def silent(_: httpx2.Request) -> httpx2.Response:
    await asyncio.sleep(60)
    return httpx2.Response(200)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (refused, "429"),
        (unreachable, "httpx2.ConnectError"),
        (silent, "asyncio.exceptions.CancelledError"),
    ],
)
async def test_a_request_that_failed_is_red_and_quotes_nobody(
    answer: Callable[[httpx2.Request], Coroutine[None, None, httpx2.Response]], told: str, spans: InMemorySpanExporter
) -> None:
    async with client(httpx2.MockTransport(answer)) as http:
        with suppress(httpx2.ConnectError, TimeoutError):
            async with asyncio.timeout(0.2):
                await http.get("http://desk.example/")
    (span,) = spans.get_finished_spans()
    assert span.attributes is not None
    assert (span.status.status_code, span.attributes["error.type"]) == (StatusCode.ERROR, told)
    assert "text of a stranger" not in span.to_json()


async def test_untraced_work_makes_no_span(spans: InMemorySpanExporter) -> None:
    async with client(httpx2.MockTransport(lambda _: httpx2.Response(200))) as http:
        with tracing.untraced():
            await http.get("http://desk.example/")
    assert spans.get_finished_spans() == ()
