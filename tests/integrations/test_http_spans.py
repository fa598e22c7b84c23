"""A span for each request of the HTTP client: what the conventions ask for, and nothing of what is sent."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress

import httpx
import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from integrations.http import TracedTransport
from observability import tracing


def client(answer: httpx.MockTransport) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=TracedTransport(answer))


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
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(201)

    async with client(httpx.MockTransport(answer)) as http:
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


async def refused(_: httpx.Request) -> httpx.Response:
    return httpx.Response(429)


async def unreachable(_: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("text of a stranger")


async def silent(_: httpx.Request) -> httpx.Response:
    await asyncio.sleep(60)
    return httpx.Response(200)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (refused, "429"),
        (unreachable, "httpx.ConnectError"),
        (silent, "asyncio.exceptions.CancelledError"),
    ],
)
async def test_a_request_that_failed_is_red_and_quotes_nobody(
    answer: Callable[[httpx.Request], Coroutine[None, None, httpx.Response]], told: str, spans: InMemorySpanExporter
) -> None:
    async with client(httpx.MockTransport(answer)) as http:
        with suppress(httpx.ConnectError, TimeoutError):
            async with asyncio.timeout(0.2):
                await http.get("http://desk.example/")
    (span,) = spans.get_finished_spans()
    assert span.attributes is not None
    assert (span.status.status_code, span.attributes["error.type"]) == (StatusCode.ERROR, told)
    assert "text of a stranger" not in span.to_json()


async def test_untraced_work_makes_no_span(spans: InMemorySpanExporter) -> None:
    async with client(httpx.MockTransport(lambda _: httpx.Response(200))) as http:
        with tracing.untraced():
            await http.get("http://desk.example/")
    assert spans.get_finished_spans() == ()
