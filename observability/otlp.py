"""Spans as OTLP's protobuf, as the package encodes them, in a fifth of the time.

The package makes an object of each attribute and of each value, and reads the resource anew for each span. Here the
ordinary span becomes bytes at once. One with an event, a link, a failure or a value that is neither text nor number is
left to the package: messages of protobuf that stand one behind the other are one message.

Source: https://protobuf.dev/programming-guides/encoding/ and opentelemetry/proto/trace/v1/trace.proto.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, cast

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.trace import StatusCode

# A field's number and how it is written: the number times eight, and 0 (varint), 1 (eight bytes), 2 (so many bytes) or
# 5 (four bytes).
_RESOURCE_SPANS = b"\x0a"
_SCOPE_SPANS, _SPANS = b"\x12", b"\x12"
_TRACE_ID, _SPAN_ID, _PARENT_ID = b"\x0a\x10", b"\x12\x08", b"\x22\x08"
_NAME, _KIND, _START, _END, _ATTRIBUTES = b"\x2a", b"\x30", b"\x39", b"\x41", b"\x4a"
_NO_STATUS, _FLAGS = b"\x7a\x00", b"\x85\x01"
_KEY, _VALUE, _TEXT, _NUMBER = b"\x0a", b"\x12", b"\x0a", b"\x18"
_KNOWN_WHETHER_REMOTE, _REMOTE = 0x100, 0x200
_LARGEST_NUMBER = 2**63 - 1
# A prompt does not come again; a thousand of them would be tens of megabytes, and what people wrote.
_LONGEST_KEPT = 200


class QuickExporter(OTLPSpanExporter):
    """The package's exporter, in all but the encoding."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send the spans."""
        request = b"" if self._shutdown else _encoded_or_nothing(spans)
        if not request or 0 < self._max_request_size < len(request):
            return super().export(spans)  # which may know better, or says why these are not sent
        sent = self._client.export(request)
        return SpanExportResult.SUCCESS if sent.success else SpanExportResult.FAILURE


def _encoded_or_nothing(spans: Sequence[ReadableSpan]) -> bytes:
    """Return the bytes of these spans, none if there are none or if one of them can't be encoded.

    An exception would be heard of by nobody: it goes past the count of failed exports.
    """
    try:
        return encoded(spans) if spans else b""
    except Exception:  # noqa: BLE001 -- whatever a span may hold
        return b""


def encoded(spans: Sequence[ReadableSpan]) -> bytes:
    """Return an `ExportTraceServiceRequest` with these spans."""
    first = spans[0]
    ordinary: list[bytes] = []
    others: list[ReadableSpan] = []
    for span in spans:
        # One provider and one tracer make them all.
        alike = span.resource is first.resource and span.instrumentation_scope is first.instrumentation_scope
        as_bytes = _ordinary(span) if alike else None
        if as_bytes is None:
            others.append(span)
        else:
            ordinary.append(_field(_SPANS, as_bytes))
    request = encode_spans(others).SerializeToString() if others else b""
    if not ordinary:
        return request
    resource, scope = _frame(first)
    return request + _field(_RESOURCE_SPANS, resource + _field(_SCOPE_SPANS, scope + b"".join(ordinary)))


def _frame(span: ReadableSpan) -> tuple[bytes, bytes]:
    """Return what stands before the spans: the resource, and the scope."""
    (resource,) = encode_spans([span]).resource_spans
    (scope,) = resource.scope_spans
    del scope.spans[:], resource.scope_spans[:]
    return resource.SerializeToString(), scope.SerializeToString()


def _ordinary(span: ReadableSpan) -> bytes | None:
    """Return a span's bytes, None if it is left to the package."""
    context, parent = span.context, span.parent
    start, end, attributes = span.start_time, span.end_time, _attributes(span)
    if context is None or start is None or end is None or attributes is None or context.trace_state:
        return None
    if span.events or span.links or span.status.status_code is not StatusCode.UNSET:
        return None
    if span.dropped_attributes or span.dropped_events or span.dropped_links:
        return None
    flags = _KNOWN_WHETHER_REMOTE | (_REMOTE if parent is not None and parent.is_remote else 0)
    return b"".join(
        (
            _TRACE_ID + context.trace_id.to_bytes(16, "big"),
            _SPAN_ID + context.span_id.to_bytes(8, "big"),
            b"" if parent is None else _PARENT_ID + parent.span_id.to_bytes(8, "big"),
            _field(_NAME, span.name.encode()),
            _KIND + _varint(span.kind.value + 1),
            _START + start.to_bytes(8, "little"),
            _END + end.to_bytes(8, "little"),
            attributes,
            _NO_STATUS,
            _FLAGS + flags.to_bytes(4, "little"),
        )
    )


def _attributes(span: ReadableSpan) -> bytes | None:
    """Return the attributes' bytes, None if one of them is left to the package."""
    # A copy at once: going through them takes a lock and a look for each.
    found = cast("dict[str, Any]", span.attributes).copy()
    try:
        return b"".join(
            [
                _attribute(name, value) if type(value) is str and len(value) > _LONGEST_KEPT else _kept(name, value)
                for name, value in found.items()
            ]
        )
    except (TypeError, ValueError):
        return None


def _attribute(name: str, value: Any) -> bytes:
    """Return an attribute's bytes. Raises TypeError or ValueError for one that is left to the package."""
    if isinstance(value, str):
        told = _field(_TEXT, value.encode())
    elif type(value) is int and 0 <= value <= _LARGEST_NUMBER:
        told = _NUMBER + _varint(value)
    else:
        raise TypeError
    return _field(_ATTRIBUTES, _field(_KEY, name.encode()) + _field(_VALUE, told))


# Most have been there before; ids have not.
_kept = lru_cache(maxsize=1024, typed=True)(_attribute)


def _field(number: bytes, content: bytes) -> bytes:
    return number + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    """Return a number in groups of seven bits, the least first; all but the last have the eighth bit set."""
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)
