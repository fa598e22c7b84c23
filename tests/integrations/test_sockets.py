"""Connections over the loop's own transports: what httpx2 makes of them, on either loop that processes run."""

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import pytest
import trustme
import uvloop

from integrations.sockets import open_transport
from tests.integrations.canned import CannedServer, serving, with_certificate

Talk = Callable[[socket.socket, int], None]
Run = Callable[[Coroutine[Any, Any, None]], None]
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nOK"
LARGE = 20_000_000


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    def on_loop(scenario: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(scenario)

    return on_loop


@contextmanager
def talking(talk: Talk) -> Iterator[str]:
    """A server that talks over each connection in a thread; `talk` gets the connection and its number."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            number = 0
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                number += 1
                threading.Thread(target=_talked, args=(talk, connection, number), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


def _talked(talk: Talk, connection: socket.socket, number: int) -> None:
    with connection:
        talk(connection, number)


def client(seconds: float = 5.0) -> httpx2.AsyncClient:
    limits = httpx2.Limits(max_connections=4, max_keepalive_connections=4, keepalive_expiry=3)
    transport = open_transport(ssl.create_default_context(), limits)
    return httpx2.AsyncClient(transport=transport, trust_env=False, timeout=seconds)


def test_a_requests_head_and_body_are_sent_in_one(run: Run) -> None:
    came: list[bytes] = []

    def talk(connection: socket.socket, _number: int) -> None:
        came.append(connection.recv(65_536))
        connection.sendall(ANSWER)

    async def scenario() -> None:
        async with client() as http:
            assert (await http.post(f"http://{address}/", content=b"a note")).text == "OK"

    with talking(talk) as address:
        run(scenario())
    assert came[0].startswith(b"POST / ")
    assert came[0].endswith(b"\r\n\r\na note")


def test_a_large_request_is_sent_whole_and_a_large_answer_waits_to_be_read(run: Run) -> None:
    sent_at: list[float] = []

    def talk(connection: socket.socket, _number: int) -> None:
        left = LARGE
        while left > 0:
            left -= connection.recv(1_000_000).count(b"~")
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % LARGE)
        connection.sendall(b"." * LARGE)
        sent_at.append(time.monotonic())

    async def scenario() -> None:
        async with client() as http, http.stream("POST", f"http://{address}/", content=b"~" * LARGE) as response:
            await asyncio.sleep(0.3)
            began = time.monotonic()
            assert not sent_at
            assert sum([len(part) async for part in response.aiter_bytes()]) == LARGE
            assert began < sent_at[0]

    with talking(talk) as address:
        run(scenario())


def test_an_idle_connection_that_the_server_closed_is_not_used_though_the_loop_has_not_heard(run: Run) -> None:
    numbers: list[int] = []

    def talk(connection: socket.socket, number: int) -> None:
        numbers.append(number)
        connection.recv(65_536)
        connection.sendall(ANSWER)
        time.sleep(0.05)

    async def scenario() -> None:
        async with client() as http:
            await http.post(f"http://{address}/")
            time.sleep(0.2)  # noqa: ASYNC251 -- the loop is held still
            await http.post(f"http://{address}/")

    with talking(talk) as address:
        run(scenario())
    assert numbers == [1, 2]


def _silent(connection: socket.socket, _number: int) -> None:
    while connection.recv(65_536):
        pass


def _closes(connection: socket.socket, _number: int) -> None:
    connection.recv(65_536)


def _breaks_off(connection: socket.socket, _number: int) -> None:
    connection.recv(65_536)
    connection.sendall(ANSWER[:-1])
    time.sleep(0.05)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


@pytest.mark.parametrize(
    ("scheme", "talk", "failure"),
    [
        ("http", _silent, httpx2.ReadTimeout),
        ("http", _closes, httpx2.RemoteProtocolError),
        ("http", _breaks_off, httpx2.ReadError),
        ("https", _silent, httpx2.ConnectTimeout),
        ("https", _closes, httpx2.ConnectError),
    ],
)
def test_failures_are_those_of_httpx2(scheme: str, talk: Talk, failure: type[httpx2.HTTPError], run: Run) -> None:
    async def scenario() -> None:
        async with client(0.3) as http:
            with pytest.raises(failure) as failed:
                await http.post(f"{scheme}://{address}/")
            assert type(failed.value) is failure

    with talking(talk) as address:
        run(scenario())


def test_a_certificate_that_is_not_trusted_is_told_from_other_failures(run: Run) -> None:
    async def scenario() -> None:
        async with client() as http:
            with pytest.raises(httpx2.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                await http.get(server.url)

    with serving(CannedServer(), with_certificate(trustme.CA())) as server:
        run(scenario())
    assert server.authorities == []


def test_a_request_that_is_given_up_leaves_no_connection_behind(run: Run) -> None:
    ended = threading.Event()

    def talk(connection: socket.socket, number: int) -> None:
        _silent(connection, number)
        ended.set()

    async def scenario() -> None:
        async with client() as http:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await http.get(f"http://{address}/")
            assert await asyncio.to_thread(ended.wait, 2)

    with talking(talk) as address:
        run(scenario())
