"""Spans in files on this machine, for who has no collector.

Each line is one export, in OTLP's JSON, as https://opentelemetry.io/docs/specs/otel/protocol/file-exporter/ says, so
that other tools read it too. Each process has files of its own.
"""

import json
import math
import os
import time
from base64 import b64decode
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from google.protobuf.json_format import MessageToDict
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from observability import phrases
from observability.outage import Outage

FILE_BYTES = 4_000_000
FOLDER_BYTES = 30_000_000
"""How large the files of a folder are together, but for the one that each process is at."""
_ENDING = ".traces.jsonl"
_IDS = ("traceId", "spanId", "parentSpanId")
# What a collector gets if the operator wants it; here it would be one more copy of texts, which nothing erases.
_TEXTS = frozenset({"gen_ai.system_instructions", "gen_ai.input.messages", "gen_ai.output.messages"})


class FileExporter(SpanExporter):
    """Appends spans to a file of this process, and begins the next one where that is full.

    A file is opened for each line: it may have been deleted meanwhile, with its folder. What can't be written is lost,
    with a line in the log when that begins.
    """

    def __init__(
        self, folder: Path, process: str, *, file_bytes: int = FILE_BYTES, folder_bytes: int = FOLDER_BYTES
    ) -> None:
        self._folder = folder
        self._name = f"{process}-{os.getpid()}-{time.time_ns() // 1_000_000}"
        self._number = 0
        self._full = True
        self._file_bytes = file_bytes
        self._folder_bytes = folder_bytes
        self._outage = Outage(phrases.TRACES_NOT_KEPT, again_seconds=math.inf)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Append the spans."""
        line = _line(spans)
        try:
            if self._full:
                self._begin()
            self._append(line)
        except OSError as failure:
            self._outage.seen(failure.strerror or "the file can't be written")
            return SpanExportResult.FAILURE
        self._outage.over()
        return SpanExportResult.SUCCESS

    def _begin(self) -> None:
        """Turn to the next file, and delete the oldest of the folder's, whichever process they are of."""
        self._number += 1
        self._full = False
        kept = 0
        for path, size in _newest_first(self._folder):
            kept += size
            if kept > self._folder_bytes:
                path.unlink(missing_ok=True)

    def _append(self, line: bytes) -> None:
        path = self._folder / f"{self._name}-{self._number}{_ENDING}"
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            size = os.fstat(file).st_size
            if os.write(file, line) < len(line):
                # A disk that is just full takes a part: the next line must not stand behind half of one.
                os.ftruncate(file, size)
                raise OSError(None, "no space left for a whole line")
        finally:
            os.close(file)
        self._full = size + len(line) >= self._file_bytes


def _newest_first(folder: Path) -> list[tuple[Path, int]]:
    found = []
    for path in folder.glob(f"ai-agents-*{_ENDING}"):
        # Another process deletes them too.
        with suppress(FileNotFoundError):
            told = path.stat()
            found.append((told.st_mtime_ns, path, told.st_size))
    return [(path, size) for _, path, size in sorted(found, reverse=True)]


def _line(spans: Sequence[ReadableSpan]) -> bytes:
    """One export as OTLP's JSON, which has ids as hexadecimal digits where protobuf's has base64."""
    told = MessageToDict(encode_spans(spans), use_integers_for_enums=True)
    for span in _spans_of(told):
        span["attributes"] = [pair for pair in span.get("attributes", ()) if pair["key"] not in _TEXTS]
        for holder in (span, *span.get("links", ())):
            for name in _IDS:
                if name in holder:
                    holder[name] = b64decode(holder[name]).hex()
    return json.dumps(told, separators=(",", ":")).encode() + b"\n"


def _spans_of(told: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for resource in told.get("resourceSpans", ()):
        for scope in resource.get("scopeSpans", ()):
            yield from scope.get("spans", ())
