"""`python -m benchmarks.outside PORT`: a desk and a model that cost little, so that neither is what is measured.

The content of their answers is the simulators'; that is made once, and only the ticket's number differs. One server
is both: every ticket is there, every note is taken and counted, and each question gets the same answer after
`--seconds`, in one piece or, where a stream is asked for, in `--pieces`, the first of them after 0.3 of that time.
`GET /_sim/count` answers with the notes so far, the moment (`time.monotonic()`) of the last, and how many questions
wait; `GET /_sim/moments` with the moment of each ticket's.
"""

import argparse
import asyncio
import json
import time
from dataclasses import dataclass, field
from typing import Any

import httptools
import uvloop

from simulators.openai.chat_request import check_request, parse_body
from simulators.openai.reply import chunk, completion, content_chunks, think
from simulators.openai.settings import OpenAIConfig
from simulators.servicedesk.envelope import success
from simulators.servicedesk.records import DeskUser, Note, StoredTicket
from simulators.servicedesk.shapes import note_in_full, ticket_in_full

_FIRST_SHARE = 0.3
_ANY_TICKET = "424242424242"
_TEXT = "<p>Since this morning the VPN client says 809 on the laptop. The office network works.</p>" * 3


def _answer(body: bytes, kind: str = "application/json") -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-type: %s\r\ncontent-length: %d\r\n\r\n%s" % (kind.encode(), len(body), body)


def _part(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


@dataclass
class DeskAndModel:
    """What all connections share."""

    seconds: float
    pieces: int
    waiting: int = 0
    """Questions that the model has not answered to the end."""
    notes: dict[str, float] = field(default_factory=dict)
    """By ticket, when it came; the last one of a ticket with several."""
    written: int = 0
    _replies: dict[bool, list[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        who, now = DeskUser("4", "Guest", "guest@example.com"), time.time_ns() // 1_000_000
        ticket = StoredTicket(
            _ANY_TICKET, _ANY_TICKET, "VPN does not connect", _TEXT, "Open", "High", "Network", who, now, now
        )
        note = note_in_full(Note("7", "", now, who), ticket, older=False, edition="onpremises")
        self._ticket = success({"request": ticket_in_full(ticket, "onpremises")}).body
        self._note = success({"note": note}).body

    def ticket(self, ticket_id: bytes) -> bytes:
        """Return the answer of the desk that has the ticket."""
        return _answer(self._ticket.replace(_ANY_TICKET.encode(), ticket_id))

    def take_note(self, ticket_id: bytes) -> bytes:
        """Count a note, and return the desk's answer."""
        self.notes[ticket_id.decode()] = time.monotonic()
        self.written += 1
        return _answer(self._note.replace(_ANY_TICKET.encode(), ticket_id))

    def count(self) -> bytes:
        """Return the answer about all of them."""
        last = next(reversed(self.notes.values()), 0.0)
        return _answer(json.dumps({"notes": self.written, "last": last, "waiting": self.waiting}).encode())

    def moments(self) -> bytes:
        """Return the answer with the moment of each ticket's note."""
        return _answer(json.dumps(self.notes).encode())

    def reply(self, question: bytes) -> list[bytes]:
        """Return the model's answer as it goes over the wire: its head and pieces, or the whole."""
        streamed = b'"stream":true' in question.replace(b" ", b"")
        if streamed not in self._replies:
            self._replies[streamed] = self._made(parse_body(question), streamed=streamed)
        return self._replies[streamed]

    def _made(self, question: dict[str, Any] | None, *, streamed: bool) -> list[bytes]:
        request = check_request(question, OpenAIConfig(api_key="any"))
        reply = think(request)
        if not streamed:
            return [_answer(json.dumps(completion(reply)).encode())]
        usage = request.include_usage
        documents = [
            chunk(reply, {"role": "assistant", "content": "", "refusal": None}, with_usage=usage),
            *content_chunks(reply, self.pieces, with_usage=usage),
            chunk(reply, {}, finish=reply.finish_reason, with_usage=usage),
            *([chunk(reply, None, with_usage=True)] if usage else []),
        ]
        events = [_part(b"data: %s\n\n" % json.dumps(document).encode()) for document in documents]
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        return [head + events[0], *events[1:], _part(b"data: [DONE]\n\n") + b"0\r\n\r\n"]


class _Door(asyncio.Protocol):
    """One connection."""

    def __init__(self, outside: DeskAndModel) -> None:
        self._outside = outside
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Keep what is written to."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Parse what came."""
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._url, self._body = b"", b""

    def on_url(self, url: bytes) -> None:
        """Take a piece of the address."""
        self._url += url

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        self._body += body

    def on_message_complete(self) -> None:
        """Answer."""
        path, outside = self._url.partition(b"?")[0], self._outside
        if path.endswith(b"/chat/completions"):
            self._send(outside.reply(self._body))
        elif path.endswith(b"/notes"):
            self._transport.write(outside.take_note(path.split(b"/")[-2]))
        elif path == b"/_sim/moments":
            self._transport.write(outside.moments())
        elif path.startswith(b"/_sim"):
            self._transport.write(outside.count())
        else:
            self._transport.write(outside.ticket(path.rpartition(b"/")[2]))

    def _send(self, parts: list[bytes]) -> None:
        """Send an answer over the whole time that it may take, each piece by itself."""
        seconds = self._outside.seconds
        first = seconds * _FIRST_SHARE if len(parts) > 1 else seconds
        pace = (seconds - first) / max(1, len(parts) - 1)
        due = self._loop.time() + first
        rest = iter(parts)
        self._outside.waiting += 1

        def send_next(number: int) -> None:
            part = next(rest, None)
            if part is None or self._transport.is_closing():
                self._outside.waiting -= 1
                return
            self._transport.write(part)
            if seconds:
                self._loop.call_at(due + (number + 1) * pace, send_next, number + 1)
            else:
                self._loop.call_soon(send_next, number + 1)

        self._loop.call_at(due, send_next, 0) if seconds else send_next(0)


async def _serve(port: int, outside: DeskAndModel) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: _Door(outside), "127.0.0.1", port, backlog=2048)
    await server.serve_forever()


def main() -> None:
    """Serve until a signal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("--seconds", type=float, default=0.0, help="of the model (default: 0)")
    parser.add_argument("--pieces", type=int, default=98)
    given = parser.parse_args()
    uvloop.run(_serve(given.port, DeskAndModel(given.seconds, given.pieces)))


if __name__ == "__main__":
    main()
