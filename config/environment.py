"""Environment variables of libraries and of programs that replace this process."""

import contextlib
import os
from pathlib import Path

# langchain-core depends on langsmith, which uploads ticket text to a third party if one of these is on.
_OFF = ("LANGSMITH_TRACING", "LANGSMITH_TRACING_V2", "LANGCHAIN_TRACING", "LANGCHAIN_TRACING_V2")
# Spans per export. 256 take 8 ms of CPU; in exports of 64 each span takes 25 % more.
_MOST_SENT = 256


def settle_environment() -> None:
    """Disable uploads to LangSmith and lower OpenTelemetry's defaults.

    Call this before the first use of LangSmith or OpenTelemetry: both read the variables then, and LangSmith caches
    them.
    """
    os.environ.update(dict.fromkeys(_OFF, "false"))
    # Seconds. Limits how long an unresponsive collector delays the end of a process.
    os.environ.setdefault("OTEL_EXPORTER_OTLP_TIMEOUT", "3")
    # OpenTelemetry refuses to start if the batch is larger than the queue, which an operator may shorten.
    queue = os.environ.get("OTEL_BSP_MAX_QUEUE_SIZE", "").strip()
    most = min(_MOST_SENT, int(queue)) if queue.isdecimal() else _MOST_SENT
    os.environ.setdefault("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", str(most))


def environment_with(**more: str) -> dict[str, str]:
    return dict(os.environ) | {name: value for name, value in more.items() if value}


def secrets_dir() -> Path | None:
    """Return `SECRETS_DIR` unchecked, for callers that load no other settings."""
    folder = os.environ.get("SECRETS_DIR")
    return Path(folder) if folder else None


def names_given() -> set[str]:
    """Return the names of non-empty variables and files of `SECRETS_DIR`."""
    names = {name for name, value in os.environ.items() if value.strip()}
    folder = secrets_dir()
    # An unlisted directory has its own report.
    with contextlib.suppress(OSError):
        names |= {path.name for path in folder.iterdir() if path.stat().st_size} if folder else set()
    return names


def tenants_file() -> Path | None:
    """Return `TENANTS_FILE` unchecked."""
    path = os.environ.get("TENANTS_FILE")
    return Path(path) if path else None


def spans_leave_the_process() -> bool:
    named = any(os.environ.get(f"OTEL_EXPORTER_OTLP_{kind}ENDPOINT") for kind in ("", "TRACES_"))
    off = (
        os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
        or os.environ.get("OTEL_TRACES_EXPORTER", "").lower() == "none"
    )
    return named and not off


def messages_go_into_spans() -> bool:
    """Return True if spans include prompts and answers (default: off)."""
    chosen = os.environ.get("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "")
    return chosen.lower() in ("true", "span_only", "span_and_event")
