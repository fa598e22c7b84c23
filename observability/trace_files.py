"""Spans in files on this machine, without a collector: one JSON object a line, from the SDK's console exporter."""

import json
import math
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SpanExporter, SpanExportResult

from observability import phrases
from observability.outage import Outage

FILE_BYTES = 4_000_000
FOLDER_BYTES = 30_000_000  # without the file that each process writes
# A collector gets these if the operator wants it. A file would be a copy of ticket text that `forget` does not reach.
_TEXTS = frozenset({"gen_ai.system_instructions", "gen_ai.input.messages", "gen_ai.output.messages"})


class FileExporter(SpanExporter):
    """Appends spans to a file of this process, which is opened for each export, since it may have been deleted."""

    def __init__(self, folder: Path, process: str) -> None:
        self._stem = folder / f"{process}-{os.getpid()}"
        self._path: Path | None = None
        self._outage = Outage(phrases.TRACES_NOT_KEPT, again_seconds=math.inf)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Append the spans. Those that can't be written are lost, with one line in the log."""
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
        """Name a new file, and delete the folder's oldest ones, of any process."""
        with suppress(FileNotFoundError):  # another process deletes them too
            files = sorted(self._stem.parent.glob("ai-agents-*.traces.jsonl"), key=os.path.getmtime)
            while sum(path.stat().st_size for path in files) > FOLDER_BYTES:
                files.pop(0).unlink()
        return Path(f"{self._stem}-{time.time_ns()}.traces.jsonl")


def _line(span: ReadableSpan) -> str:
    told = json.loads(span.to_json(indent=None))
    told["attributes"] = {name: value for name, value in told["attributes"].items() if name not in _TEXTS}
    return f"\n{json.dumps(told)}"  # the break comes first: it ends a line that a full disk has cut
