"""`python -m dev.benchmarks.outside PORT`: a cheap desk, model and collector.

They cost little, so that the product is measured. Their answers are the simulators', made once; only the ticket's
number differs. Every ticket exists and every note is counted. All questions with a schema get the same answer after
`--seconds`, streamed in `--pieces`. The first piece comes after 0.3 of that time.

`/_sim/count`: numbers of notes and waiting questions. `/_sim/moments`: time of each note (`time.monotonic()`).
`/_sim/spans`: number of received OTLP spans by name.
"""

import argparse
import asyncio
import gzip
import json
import re
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import uvloop
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from dev.simulators.openai.providers import OpenAIConfig
from dev.simulators.openai.reply import chunk, completion, content_chunks, think
from dev.simulators.openai.requests import check_request, parse_body
from dev.simulators.servicedesk.envelope import success
from dev.simulators.servicedesk.records import DeskUser, Note, StoredTicket
from dev.simulators.servicedesk.shapes import note_in_full, ticket_in_full

_FIRST_SHARE = 0.3
_ANY_TICKET = "424242424242"
_TEXT = "<p>Since this morning the VPN client says 809 on the laptop. The office network works.</p>" * 3
_GZIP = b"\x1f\x8b"
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


def _answer(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)


def _part(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


@dataclass
class DeskAndModel:
    """The state of all connections; `notes` has the time of each ticket's note."""

    seconds: float
    pieces: int
    waiting: int = 0
    written: int = 0
    notes: dict[str, float] = field(default_factory=dict)
    spans: Counter[str] = field(default_factory=Counter)
    _replies: dict[str, list[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        user, now = DeskUser("4", "Guest", "guest@example.com"), time.time_ns() // 1_000_000
        ticket = StoredTicket(_ANY_TICKET, _ANY_TICKET, "VPN does not connect", _TEXT, user, now, now)
        ticket.priority, ticket.category = "High", "Network"
        note = note_in_full(Note("7", "", now, user), ticket, older=False, edition="onpremises")
        self._ticket = bytes(success({"request": ticket_in_full(ticket, "onpremises")}).body)
        self._note = bytes(success({"note": note}).body)

    def ticket(self, ticket_id: bytes) -> bytes:
        return _answer(self._ticket.replace(_ANY_TICKET.encode(), ticket_id))

    def take_note(self, ticket_id: bytes) -> bytes:
        self.notes[ticket_id.decode()] = time.monotonic()
        self.written += 1
        return _answer(self._note.replace(_ANY_TICKET.encode(), ticket_id))

    def take_spans(self, body: bytes) -> bytes:
        request = ExportTraceServiceRequest()
        request.ParseFromString(gzip.decompress(body) if body.startswith(_GZIP) else body)
        for scope in (scope for resource in request.resource_spans for scope in resource.scope_spans):
            self.spans.update(span.name for span in scope.spans)
        return _answer(b"")

    def counts(self, path: bytes) -> bytes:
        count = {"notes": self.written, "waiting": self.waiting}
        return _answer(json.dumps({b"moments": self.notes, b"spans": self.spans}.get(path, count)).encode())

    def reply(self, question: bytes) -> list[bytes]:
        """Return an answer's parts, built once a schema; the first one has the head."""
        document = parse_body(question) or {}
        schema = json.dumps(document.get("response_format"))
        if schema not in self._replies:
            request = check_request(document, OpenAIConfig(api_key="any"))
            reply, usage = think(request), request.include_usage
            if not request.stream:
                self._replies[schema] = [_answer(json.dumps(completion(reply)).encode())]
                return self._replies[schema]
            documents = [
                chunk(reply, {"role": "assistant", "content": "", "refusal": None}, with_usage=usage),
                *content_chunks(reply, self.pieces, with_usage=usage),
                chunk(reply, {}, finish=reply.finish_reason, with_usage=usage),
                *([chunk(reply, None, with_usage=True)] if usage else []),
            ]
            events = [_part(b"data: %s\n\n" % json.dumps(document).encode()) for document in documents]
            head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
            self._replies[schema] = [head + events[0], *events[1:], _part(b"data: [DONE]\n\n") + b"0\r\n\r\n"]
        return self._replies[schema]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = _LENGTH.search(head)
                body = await reader.readexactly(int(length[1]) if length else 0)
                path = head.split(b" ", 2)[1].partition(b"?")[0]
                if path.endswith(b"/chat/completions"):
                    await self._stream(self.reply(body), writer)
                elif path.endswith(b"/notes"):
                    writer.write(self.take_note(path.split(b"/")[-2]))
                elif path.startswith(b"/_sim/"):
                    writer.write(self.counts(path.removeprefix(b"/_sim/")))
                elif path == b"/v1/traces":
                    writer.write(self.take_spans(body))
                else:
                    writer.write(self.ticket(path.rpartition(b"/")[2]))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def _stream(self, parts: Iterable[bytes], writer: asyncio.StreamWriter) -> None:
        due = asyncio.get_running_loop().time() + self.seconds * _FIRST_SHARE
        pace = self.seconds * (1 - _FIRST_SHARE) / self.pieces
        self.waiting += 1
        try:
            for part in parts:
                await asyncio.sleep(max(0.0, due - asyncio.get_running_loop().time()))
                writer.write(part)
                due += pace
        finally:
            self.waiting -= 1


async def _serve(port: int, outside: DeskAndModel) -> None:
    server = await asyncio.start_server(outside.serve, "127.0.0.1", port, backlog=2048)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("--seconds", type=float, default=0.0, help="of the model (default: 0)")
    parser.add_argument("--pieces", type=int, default=98)
    options = parser.parse_args()
    uvloop.run(_serve(options.port, DeskAndModel(options.seconds, options.pieces)))


if __name__ == "__main__":
    main()
