"""A minimal OpenTelemetry collector (OTLP over HTTP, protobuf) with search by tag."""

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dev.simulators.serving import serve_in_thread
from tests.kit.world import wait_for

STEPS = ["Webhook", "Queue", "Worker", "Context", "GPT-4", "ServiceDesk Update"]


@dataclass(frozen=True)
class ReceivedSpan:
    """A received span. Times are Unix nanoseconds; `status` 2 is an error."""

    name: str
    service: str
    trace_id: str
    span_id: str
    parent_id: str
    start: int
    end: int
    status: int
    tags: dict[str, Any]
    events: dict[str, dict[str, Any]]
    links: list[str]
    schema: str


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(item) for item in value.array_value.values]
    return None if kind is None else getattr(value, kind)


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


@dataclass
class Collector:
    url: str = ""
    spans: list[ReceivedSpan] = field(default_factory=list)

    def search(self, **tags: str) -> list[ReceivedSpan]:
        return [span for span in self.spans if all(span.tags.get(name) == value for name, value in tags.items())]

    def traces(self, service: str, **tags: str) -> list[ReceivedSpan]:
        """Return all spans of the traces that have a span of that service with each of the tags, as Jaeger searches."""
        found = {span.trace_id for span in self.search(**tags) if span.service == service}
        return [span for span in list(self.spans) if span.trace_id in found]

    def take(self, body: bytes) -> None:
        request = ExportTraceServiceRequest()
        request.ParseFromString(body)
        for resource in request.resource_spans:
            service = str(_attributes(resource.resource.attributes).get("service.name"))
            for schema, span in ((scope.schema_url, span) for scope in resource.scope_spans for span in scope.spans):
                self.spans.append(
                    ReceivedSpan(
                        name=span.name,
                        service=service,
                        trace_id=span.trace_id.hex(),
                        span_id=span.span_id.hex(),
                        parent_id=span.parent_span_id.hex(),
                        start=span.start_time_unix_nano,
                        end=span.end_time_unix_nano,
                        status=span.status.code,
                        tags=_attributes(span.attributes),
                        events={event.name: _attributes(event.attributes) for event in span.events},
                        links=[link.trace_id.hex() for link in span.links],
                        schema=schema,
                    )
                )


@contextmanager
def collecting() -> Iterator[Collector]:
    """Run a collector on a free port for the length of the block."""
    collector = Collector()

    async def receive(request: Request) -> Response:
        body = await request.body()
        collector.take(gzip.decompress(body) if request.headers.get("content-encoding") == "gzip" else body)
        return Response()

    with serve_in_thread(Starlette(routes=[Route("/v1/traces", receive, methods=["POST"])])) as collector.url:
        yield collector


def trace_of(collector: Collector, ticket_id: str, complete: str = "Worker") -> dict[str, ReceivedSpan]:
    """Return the spans of a ticket's trace by name, once `complete` has arrived."""
    wait_for(lambda: {complete, "Webhook"} <= {span.name for span in collector.search(ticket_id=ticket_id)})
    (trace_id,) = {span.trace_id for span in collector.search(ticket_id=ticket_id)}
    spans = [span for span in collector.spans if span.trace_id == trace_id]
    tags = {(span.tags.get("ticket_id"), span.tags.get("tenant_id")) for span in spans}
    assert tags == {(ticket_id, "acme")}, spans
    return {span.name: span for span in spans}
