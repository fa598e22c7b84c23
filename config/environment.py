"""What of the environment is no setting of ours: the libraries' own variables, and a program's that takes our place."""

import os
from pathlib import Path

_FORCED = {
    # langchain-core brings langsmith along: with one of these on, ticket text would be uploaded to a third party.
    "LANGSMITH_TRACING": "false",
    "LANGSMITH_TRACING_V2": "false",
    "LANGCHAIN_TRACING": "false",
    "LANGCHAIN_TRACING_V2": "false",
}
_DEFAULTS = {
    # Seconds. A collector that does not answer may delay the end of a process by no more than this.
    "OTEL_EXPORTER_OTLP_TIMEOUT": "3",
}
# Spans in one export. 256 take 8 ms of CPU; in exports of 64 a span takes a quarter more.
_MOST_SENT = 256


def settle_environment() -> None:
    """Force what would leak, and give a default to what the libraries set too high.

    To be called before LangSmith or OpenTelemetry are first used: they ask then, and LangSmith keeps the answer.
    """
    os.environ.update(_FORCED)
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
    # Of an operator's shorter queue all of it: for more than it can hold OpenTelemetry refuses to start.
    queue = os.environ.get("OTEL_BSP_MAX_QUEUE_SIZE", "").strip()
    most = min(_MOST_SENT, int(queue)) if queue.isdecimal() else _MOST_SENT
    os.environ.setdefault("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", str(most))


def environment_with(**more: str) -> dict[str, str]:
    """Return this process's environment and the values of `more` that are not empty, for a program in its place."""
    return dict(os.environ) | {name: value for name, value in more.items() if value}


def secrets_dir() -> Path | None:
    """Return `SECRETS_DIR`, usable or not, for who reads nothing else of a process's settings."""
    folder = os.environ.get("SECRETS_DIR")
    return Path(folder) if folder else None


def tenants_file() -> Path | None:
    """Return `TENANTS_FILE`, usable or not."""
    path = os.environ.get("TENANTS_FILE")
    return Path(path) if path else None


def spans_leave_the_process() -> bool:
    """Return True if a collector is named in OpenTelemetry's own settings, and tracing is not switched off there."""
    named = any(os.environ.get(f"OTEL_EXPORTER_OTLP_{kind}ENDPOINT") for kind in ("", "TRACES_"))
    off = (
        os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
        or os.environ.get("OTEL_TRACES_EXPORTER", "").lower() == "none"
    )
    return named and not off


def messages_go_into_spans() -> bool:
    """Return True if prompts and answers may stand on the GPT-4 span: OpenTelemetry's own setting, off by default."""
    chosen = os.environ.get("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "")
    return chosen.lower() in ("true", "span_only", "span_and_event")
