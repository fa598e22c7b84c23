"""The HTTP protocol in front of an application that echoes the body."""

import asyncio
import contextlib
import io
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any

import pytest
from starlette.responses import Response

from api.server import AnswerWriter, Connections, Port, serve
from api.webhooks import WebhookPort

OFFER = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
Exchange = Callable[[list[bytes]], Awaitable[bytes]]


async def echo(scope: Any, receive: Any, send: Any) -> None:
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    await asyncio.sleep(0.01)
    said = b"%s %s %s;" % (scope["method"].encode(), scope["raw_path"], body)
    headers = [(b"content-length", b"%d" % len(said))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": said})


@contextlib.asynccontextmanager
async def serving(app: Any, port: Port) -> AsyncIterator[tuple[str, int]]:
    listener = socket.create_server(("127.0.0.1", 0))
    async with serve(app, listener, port, 0.1):
        yield listener.getsockname()


async def send(address: tuple[str, int], parts: list[bytes]) -> bytes:
    reader, writer = await asyncio.open_connection(*address)
    for part in parts:
        writer.write(part)
        # In steps, since the server shares this loop: after a pause its answers come first.
        for _ in range(8):
            await asyncio.sleep(0.01)
    writer.write_eof()
    received = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    return received


@pytest.fixture
async def exchange() -> AsyncIterator[Exchange]:
    """Send parts over one connection; return all answers of the next half second."""
    async with serving(echo, Port()) as address:
        yield partial(send, address)


def post(body: bytes, *, offers: bool, chunked: bool) -> bytes:
    head = b"POST /first HTTP/1.1\r\nHost: api\r\n" + (OFFER if offers else b"")
    if chunked:
        return head + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    return head + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


GET = b"GET /second HTTP/1.1\r\nHost: api\r\n"
FIRST = {
    "a length": (post(b"one", offers=True, chunked=False), b"POST /first one;"),
    "chunks": (post(b"one", offers=True, chunked=True), b"POST /first one;"),
    "a length of 0": (post(b"", offers=True, chunked=False), b"POST /first ;"),
    "no body": (b"GET /first HTTP/1.1\r\nHost: api\r\n" + OFFER + b"\r\n", b"GET /first ;"),
}
SECOND = {
    "plain": (GET + b"\r\n", b"GET /second ;"),
    "with an offer too": (GET + OFFER + b"\r\n", b"GET /second ;"),
    "with a body and an offer": (post(b"two", offers=True, chunked=True), b"POST /first two;"),
}


@pytest.mark.parametrize("second", SECOND)
@pytest.mark.parametrize("first", FIRST)
async def test_an_http2_offer_is_ignored_and_the_next_request_answered(
    first: str, second: str, exchange: Exchange
) -> None:
    """An offer of HTTP/2 may be ignored: RFC 9110, 7.8."""
    (one, said_first), (two, said_second) = FIRST[first], SECOND[second]
    for parts in ([one, two], [one + two]):
        received = await exchange(parts)
        assert received.count(b"HTTP/1.1 200 OK\r\n") == 2, received
        assert received.index(said_first) < received.index(said_second)


async def test_an_offer_in_front_of_what_is_no_http_takes_nothing_from_its_own_answer(exchange: Exchange) -> None:
    received = await exchange([FIRST["a length"][0] + b"\x00\x01\x02\r\n\r\n"])
    assert received.count(b"HTTP/1.1 ") == 1, received
    assert b"POST /first one;" in received
    assert b"connection: close" in received


async def test_a_head_with_an_offer_cut_anywhere_is_read_all_the_same(exchange: Exchange) -> None:
    whole = FIRST["chunks"][0] + SECOND["plain"][0]
    for at in range(1, len(whole), 29):
        received = await exchange([whole[:at], whole[at:]])
        assert received.count(b"HTTP/1.1 200 OK\r\n") == 2, (at, received)


@pytest.mark.parametrize("status", [204, 200, 304])
async def test_an_answer_without_a_body_is_not_awaited(status: int) -> None:
    """Head and body go in one write, so a head alone must go by itself."""
    async with serving(Response(status_code=status), Port()) as address:
        received = await send(address, [GET + b"\r\n", GET + b"Connection: close\r\n\r\n"])
    assert received.count(b"HTTP/1.1 %d " % status) == 2, received


async def test_a_sender_that_reads_no_answer_is_disconnected() -> None:
    """Its answers fill the buffers and would occupy the connection."""
    port = Port(0.3)
    async with serving(flood, port) as address:
        with socket.create_connection(address) as silent:
            silent.sendall(GET + b"\r\n")
            for _ in range(50):
                await asyncio.sleep(0.1)
                if not len(port.connections):
                    break
        assert not len(port.connections)


async def flood(_scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"transfer-encoding", b"chunked")]})
    for _ in range(100):
        await send({"type": "http.response.body", "body": bytes(1_000_000), "more_body": True})


async def never(_scope: Any, receive: Any, _send: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def test_while_all_places_are_served_newcomers_get_503_and_one_line(log: io.StringIO) -> None:
    port = WebhookPort()
    port.connections = Connections(3, 5)
    async with serving(never, port) as address:
        served = [await asyncio.open_connection(*address) for _ in range(3)]
        for _, writer in served:
            writer.write(GET + b"\r\n")
        await asyncio.sleep(0.2)
        for _ in range(2):
            reader, writer = await asyncio.open_connection(*address)
            answer = await asyncio.wait_for(reader.read(), 5)
            assert answer.startswith(b"HTTP/1.1 503 ")
            assert b"retry-after: 30\r\n" in answer
            served.append((reader, writer))
        for _, writer in served:
            writer.close()
            await writer.wait_closed()
    assert log.getvalue().count("status=503, reason=too many connections") == 1


class RecordingTransport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def close(self) -> None:
        self.written.append(b"closed")


def test_a_head_goes_with_its_body_and_what_follows_by_itself() -> None:
    wait, head = b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 202 Accepted\r\ncontent-length: 2\r\n\r\n"
    wire = RecordingTransport()
    writer = AnswerWriter(wire)
    for data in (wait, head, b"{}", b"more"):
        writer.write(data)
    writer.end_answer()
    writer.write(head)
    writer.close()
    assert wire.written == [wait, head + b"{}", b"more", head, b"closed"]


def test_who_waits_longest_goes_and_who_is_served_never() -> None:
    connections = Connections(most=3, in_a_rush=5)
    for at, name in enumerate("abc"):
        connections.wait(name, float(at))
    assert (list(connections.make_room(100)), len(connections)) == ([], 3)
    connections.wait("a", 99)  # a piece of a request makes nobody younger
    connections.wait("d", 100)
    assert (list(connections.make_room(100)), len(connections)) == (["a"], 3)
    connections.serve("b")
    connections.wait("e", 101)
    connections.wait("b", 102)  # answered, it waits behind those that came meanwhile
    connections.wait("f", 103)
    assert list(connections.make_room(103)) == ["c", "d"]
    for name in "ebf":
        connections.serve(name)
    assert connections.is_busy
    connections.wait("g", 104)
    assert list(connections.make_room(200)) == ["g"]
    connections.leave("b")
    assert not connections.is_busy


def test_who_has_just_come_has_a_moment_for_its_request_unless_it_is_a_rush() -> None:
    connections = Connections(most=3, in_a_rush=5)
    for name in "vwxyz":
        connections.wait(name, 100)
        assert list(connections.make_room(100)) == []
    connections.wait("!", 100.01)
    assert list(connections.make_room(100.01)) == ["v"]
    assert list(connections.make_room(100.2)) == ["w", "x"]
