"""An OTLP collector over HTTP that counts spans, in a process of its own.

`python -m benchmarks.receiver PORT`; `GET /count` returns a JSON object: spans by name.
"""

import gzip
import json
import sys
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

_received: Counter[str] = Counter()


class CountingHandler(BaseHTTPRequestHandler):
    """One exporter connection, kept open as by real collectors."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        request = ExportTraceServiceRequest()
        request.ParseFromString(gzip.decompress(body) if self.headers.get("content-encoding") == "gzip" else body)
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                _received.update(span.name for span in scope.spans)
        self._answer(b"", "application/x-protobuf")

    def do_GET(self) -> None:
        self._answer(json.dumps(_received).encode(), "application/json")

    def _answer(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Discard log lines."""


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), CountingHandler).serve_forever()
