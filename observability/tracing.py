"""Tracing: one trace per job, across the queue, with the spans named in the FAQ.

All spans are made by the functions below, and carry the identifiers bound at that time. The provider is always on, so
that each log line has a `trace_id`. Spans are exported only if `OTEL_EXPORTER_OTLP_ENDPOINT` (or its `_TRACES_` form)
names a collector (OTLP over HTTP with protobuf), or if `TRACES_DIR` is set for files.
"""

import json
import math
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from contextvars import ContextVar
from datetime import datetime
from pathlib import Path
from types import TracebackType

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter, SpanExportResult
from opentelemetry.trace import Link, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from config.settings import exports_spans
from observability import log_events, metrics
from observability.identifiers import tags
from observability.logging import Outage, exception_trail

# Names from step 5 of the FAQ, one for context gathering, and one for the check of the answer's claims.
WEBHOOK = "Webhook"
QUEUE = "Queue"
WORKER = "Worker"
CONTEXT = "Context"
GPT4 = "GPT-4"
CLAIM_CHECK = "Claim Check"
SERVICEDESK_UPDATE = "ServiceDesk Update"

_FLUSH_SECONDS = 5.0
# Short: `ai-agents trace` shows only spans that are in a file.
_INTO_FILES_MILLISECONDS = 1000
FILE_BYTES = 4_000_000
FOLDER_BYTES = 30_000_000  # checked before a process begins a file, so the folder may exceed it by that file
# Not written to files, because `ai-agents forget` does not erase those. A collector gets them if the operator opts in.
_TEXTS = frozenset(
    {"gen_ai.system_instructions", "gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.retrieval.documents"}
)
# The last version that defines GenAI's attributes too: they have a repository of their own since.
_tracer = trace.get_tracer("ai-agents", schema_url="https://opentelemetry.io/schemas/1.41.0")
# Phoenix and Langfuse read OpenInference's kind of a span; Langfuse does not know OpenTelemetry's `retrieval`.
_KINDS = {CONTEXT: "RETRIEVER", GPT4: "LLM", CLAIM_CHECK: "LLM"}
_propagator = TraceContextTextMapPropagator()
_untraced: ContextVar[bool] = ContextVar("untraced", default=False)


class CountingExporter(OTLPSpanExporter):
    """Counts the results of exports."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = super().export(spans)
        metrics.SPAN_EXPORTS.labels("ok" if result is SpanExportResult.SUCCESS else "failed").inc()
        return result


class FileExporter(SpanExporter):
    """Append spans to this process's file, one JSON object a line.

    The file may be deleted between exports.
    """

    def __init__(self, folder: Path, process: str) -> None:
        self._stem = folder / f"{process}-{os.getpid()}"
        self._path: Path | None = None
        self._outage = Outage(log_events.TRACES_NOT_KEPT, again_seconds=math.inf)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Append the spans. A failed write loses them, with one log line."""
        try:
            self._stem.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._path = path = self._path or self._next_file()
            path.touch(mode=0o600)
            with path.open("a", encoding="utf-8") as out:
                ConsoleSpanExporter(out=out, formatter=_line).export(spans)
            if path.stat().st_size >= FILE_BYTES:
                self._path = None
        except OSError as failure:
            self._outage.seen(failure.strerror or "the file can't be written")
            return SpanExportResult.FAILURE
        self._outage.over()
        return SpanExportResult.SUCCESS

    def _next_file(self) -> Path:
        """Return a new file name, and delete the folder's oldest files of any process."""
        with suppress(FileNotFoundError):  # another process deletes them too
            files = sorted(self._stem.parent.glob("ai-agents-*.traces.jsonl"), key=os.path.getmtime)
            while sum(path.stat().st_size for path in files) > FOLDER_BYTES:
                files.pop(0).unlink()
        return Path(f"{self._stem}-{time.time_ns()}.traces.jsonl")


def _line(span: ReadableSpan) -> str:
    record = json.loads(span.to_json(indent=None))
    record["attributes"] = {name: value for name, value in record["attributes"].items() if name not in _TEXTS}
    return f"\n{json.dumps(record)}"  # the line break ends a line cut by a full disk


class Tracing:
    """The trace provider of this process."""

    def __init__(self, service_name: str, traces_dir: Path | None = None) -> None:
        # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES override ours.
        defaults = Resource({SERVICE_NAME: service_name})
        self._provider = TracerProvider(resource=defaults.merge(_named_by_operator()))
        if traces_dir is not None:
            files = FileExporter(traces_dir, service_name)
            self._provider.add_span_processor(BatchSpanProcessor(files, schedule_delay_millis=_INTO_FILES_MILLISECONDS))
        # The collector is last: processors are closed in order, and an unresponsive one uses all of the time.
        if exports_spans():
            self._provider.add_span_processor(BatchSpanProcessor(CountingExporter()))
        trace.set_tracer_provider(self._provider)

    def close(self) -> None:
        """Export the remaining spans within a time limit, so that exit is not delayed."""
        flush = threading.Thread(target=self._provider.shutdown, name="trace-flush", daemon=True)
        flush.start()
        flush.join(_FLUSH_SECONDS)


def _named_by_operator() -> Resource:
    detected = Resource.create()
    if str(detected.attributes.get(SERVICE_NAME, "")).startswith("unknown_service"):
        return Resource({name: value for name, value in detected.attributes.items() if name != SERVICE_NAME})
    return detected


class _Current(AbstractContextManager[trace.Span]):
    """A current span that ends with its block.

    It takes a third of the time of OpenTelemetry's `start_as_current_span`.
    """

    __slots__ = ("_span", "_token")

    def __init__(self, span: trace.Span) -> None:
        self._span = span

    def __enter__(self) -> trace.Span:
        self._token = context.attach(trace.set_span_in_context(self._span))
        return self._span

    def __exit__(
        self, _kind: type[BaseException] | None, failure: BaseException | None, _trace: TracebackType | None
    ) -> None:
        context.detach(self._token)
        if isinstance(failure, Exception):
            if getattr(failure, "expected", False):
                self._span.set_attribute("outcome", str(failure))
            else:
                record_failure(self._span, failure, getattr(failure, "reason", None))
        self._span.end()


def span(
    name: str,
    *,
    kind: SpanKind = SpanKind.INTERNAL,
    parent: Context | None = None,
    links: list[Link] | None = None,
    attributes: Mapping[str, AttributeValue] | None = None,
) -> AbstractContextManager[trace.Span]:
    """Open a current span around a block, starting at this call.

    An exception that leaves the block is recorded, with its `reason` (our own words) if it has one. An exception marked
    as `expected` does not turn the span red.
    """
    shown_as = _KINDS.get(name) or ("TOOL" if kind is SpanKind.CLIENT else "CHAIN")
    tagged = {"openinference.span.kind": shown_as, **(attributes or {}), **tags()}
    return _Current(_tracer.start_span(name, context=parent, kind=kind, links=links, attributes=tagged))


def call_span(name: str, attributes: Mapping[str, AttributeValue]) -> trace.Span:
    """Start a client span that is not current; the caller ends it."""
    return _tracer.start_span(
        name, kind=SpanKind.CLIENT, attributes={"openinference.span.kind": "CHAIN", **attributes, **tags()}
    )


def record_failure(failed: trace.Span, failure: BaseException, reason: str | None = None) -> None:
    """Mark a span as failed, with the exception's type and code locations.

    The exception's message is left out, because a library's may quote data. `reason` is our own text.
    """
    kind = f"{type(failure).__module__}.{type(failure).__qualname__}".removeprefix("builtins.")
    failed.set_status(Status(StatusCode.ERROR, reason or type(failure).__name__))
    failed.set_attribute("error.type", kind)
    failed.add_event(
        "exception",
        {
            "exception.type": kind,
            "exception.message": reason or type(failure).__name__,
            "exception.stacktrace": exception_trail(failure),
        },
    )


def queue_span(parent: Context | None, since: datetime, until: datetime) -> None:
    """Record the wait in the queue as a span that has already ended."""
    start, end = _nanoseconds(since), _nanoseconds(until)
    waited = _tracer.start_span(
        QUEUE,
        context=parent,
        start_time=min(start, end),
        attributes={
            "openinference.span.kind": "CHAIN",
            "messaging.system": "celery",
            "messaging.destination.name": "celery",
            **tags(),
        },
    )
    waited.end(end_time=end)


def _nanoseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000_000) * 1000


def traceparent() -> str:
    """Return the current span as a W3C header; empty without a span."""
    current = trace.get_current_span().get_span_context()
    return f"00-{current.trace_id:032x}-{current.span_id:016x}-{current.trace_flags:02x}" if current.is_valid else ""


def context_of(traceparent_header: str | None) -> Context | None:
    """Return the context of a `traceparent`; None if it is missing or malformed."""
    if not traceparent_header:
        return None
    found = _propagator.extract({"traceparent": traceparent_header}, context=Context())
    return found if trace.get_current_span(found).get_span_context().is_valid else None


def own_trace() -> Context:
    """Return an empty context, so that a span starts a new trace."""
    return Context()


def links_to(traceparent_header: str | None) -> list[Link]:
    """Return a link to a caller's span; untrusted spans can't be our parent."""
    parent = context_of(traceparent_header)
    return [] if parent is None else [Link(trace.get_current_span(parent).get_span_context())]


@contextmanager
def untraced() -> Iterator[None]:
    """Suppress HTTP and SQL spans in a block: periodic work that belongs to no job."""
    token = _untraced.set(True)
    try:
        yield
    finally:
        _untraced.reset(token)


def is_untraced() -> bool:
    """Return True in a block of `untraced`."""
    return _untraced.get()
