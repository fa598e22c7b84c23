"""Environment variables of libraries: the defaults that we set, and OpenTelemetry's switches that we read."""

import os

# langchain-core depends on langsmith, which uploads ticket text to a third party if one of these is on.
_OFF = ("LANGSMITH_TRACING", "LANGSMITH_TRACING_V2", "LANGCHAIN_TRACING", "LANGCHAIN_TRACING_V2")
# Spans per export. 256 take 8 ms of CPU; in exports of 64 each span takes 25 % more.
_MOST_SENT = 256


def set_library_defaults() -> None:
    """Disable uploads to LangSmith and lower OpenTelemetry's defaults.

    Call this before the first use of LangSmith or OpenTelemetry: both read the variables then, and LangSmith caches
    them.
    """
    os.environ.update(dict.fromkeys(_OFF, "false"))
    # Seconds. Limits how long an unresponsive collector delays the end of a process.
    os.environ.setdefault("OTEL_EXPORTER_OTLP_TIMEOUT", "3")
    # OpenTelemetry refuses to start if the batch is larger than the queue, which an operator may shorten.
    queue = _value("OTEL_BSP_MAX_QUEUE_SIZE")
    most = min(_MOST_SENT, int(queue)) if queue.isdecimal() else _MOST_SENT
    os.environ.setdefault("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", str(most))


def exports_spans() -> bool:
    """Return True if spans go to a collector."""
    has_collector = _value("OTEL_EXPORTER_OTLP_ENDPOINT") or _value("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    is_off = _value("OTEL_SDK_DISABLED") == "true" or _value("OTEL_TRACES_EXPORTER") == "none"
    return bool(has_collector) and not is_off


def captures_messages() -> bool:
    """Return True if spans include prompts and answers (default: off)."""
    return _value("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT") in ("true", "span_only", "span_and_event")


def _value(name: str) -> str:
    return os.environ.get(name, "").strip().lower()
