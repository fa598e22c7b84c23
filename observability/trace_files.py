"""Span files on this machine, one JSON object a line; no collector needed."""

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
FOLDER_BYTES = 30_000_000  # excluding the file each process is writing
# A collector gets these texts if the operator enables it. In files they would be copies that `forget` does not reach.
_TEXTS = frozenset({"gen_ai.system_instructions", "gen_ai.input.messages", "gen_ai.output.messages"})


class FileExporter(SpanExporter):
    """Appends spans to this process's file, which may be deleted between exports."""

    def __init__(self, folder: Path, process: str) -> None:
        self._stem = folder / f"{process}-{os.getpid()}"
        self._path: Path | None = None
        self._outage = Outage(phrases.TRACES_NOT_KEPT, again_seconds=math.inf)

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
    told = json.loads(span.to_json(indent=None))
    told["attributes"] = {name: value for name, value in told["attributes"].items() if name not in _TEXTS}
    return f"\n{json.dumps(told)}"  # the line break ends a line cut by a full disk
