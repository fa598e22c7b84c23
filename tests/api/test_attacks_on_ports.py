"""Attacks of ADR 5 on each port: cut off, while visitors are served."""

import asyncio
import contextlib
import resource
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass

import httpx2
import pytest

from api import feedback
from api.server import MAX_CONNECTIONS, serve
from api.webhooks import WebhookPort
from console import main
from tests.api.feedback_visits import NOWHERE, visiting
from tests.console.site import console_site
from tests.kit.receiver import Receiver
from tests.system.senders import discard

HEAD_SECONDS = 1.0
SOON_SECONDS = 2.0
MAX_SENT = 64 * 1024 * 1024
CHUNKED = "Transfer-Encoding: chunked"
H2C = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__")
CUT_OFF_SECONDS = 5


@dataclass(frozen=True)
class ServedPort:
    """A port with an address, its status, and the limit of connections."""

    url: httpx2.URL
    status: int
    most: int

    def request(self, *headers: str, method: str = "GET", length: int | None = None) -> bytes:
        """Return a request's head; `length` announces a body that is not sent."""
        sized = [] if length is None else [f"Content-Length: {length}"]
        head = [f"{method} {self.url.path} HTTP/1.1", f"Host: {self.url.netloc.decode()}", *sized, *headers, "", ""]
        return "\r\n".join(head).encode()

    @contextlib.asynccontextmanager
    async def connect(self, sent: bytes = b"") -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await asyncio.open_connection(self.url.host, self.url.port)
        try:
            writer.write(sent)
            yield reader, writer
        finally:
            writer.transport.abort()

    async def visit(self) -> tuple[int, float]:
        """Return status and seconds of a request over a new connection."""
        began = time.monotonic()
        async with httpx2.AsyncClient(trust_env=False, timeout=30) as client:
            answer = await client.get(self.url)
        return answer.status_code, time.monotonic() - began


@contextlib.asynccontextmanager
async def _webhooks() -> AsyncIterator[ServedPort]:
    listener = socket.create_server(("127.0.0.1", 0), backlog=1000)
    url = httpx2.URL(f"http://127.0.0.1:{listener.getsockname()[1]}/nothing")
    async with serve(Receiver().app, listener, WebhookPort(HEAD_SECONDS)):
        yield ServedPort(url, 404, MAX_CONNECTIONS)


@contextlib.asynccontextmanager
async def _feedback() -> AsyncIterator[ServedPort]:
    async with visiting(NOWHERE, webhook_timeout_seconds=str(HEAD_SECONDS)) as visit:
        yield ServedPort(httpx2.URL(visit.url).join("/f/unknown"), 404, feedback.MAX_CONNECTIONS)


@contextlib.asynccontextmanager
async def _console() -> AsyncIterator[ServedPort]:
    async with console_site(head_seconds=HEAD_SECONDS) as site:
        yield ServedPort(httpx2.URL(site.url).join("/login"), 200, main.MAX_CONNECTIONS)


PORTS = {"webhooks": _webhooks, "feedback": _feedback, "console": _console}
Raw = Callable[[ServedPort], bytes]


def open_head(port: ServedPort) -> bytes:
    return port.request().removesuffix(b"\r\n")


NEVER_ENDING: dict[str, tuple[Raw, bytes]] = {
    "headers": (open_head, b"X-Odd: " + b"x" * 1_000 + b"\r\n"),
    "a header": (lambda port: open_head(port) + b"X-Odd: ", b"x" * 65_536),
    "an address": (lambda _: b"GET /", b"x" * 65_536),
    "empty lines": (lambda _: b"", b"\r\n" * 6_000),
    "a body": (lambda port: port.request(length=10**12), b"x" * 65_536),
    "chunks": (lambda port: port.request(CHUNKED), b"10000\r\n" + b"x" * 65_536 + b"\r\n"),
    "the size of a chunk": (lambda port: port.request(CHUNKED) + b"1;", b"x" * 65_536),
    "trailers": (lambda port: port.request(CHUNKED) + b"0\r\n", b"X-Odd: 1\r\n" * 6_000),
    "a refused form": (lambda port: port.request(method="POST", length=10**12), b"x" * 65_536),
}
SLOW: dict[str, tuple[Raw, bytes]] = {
    "nothing": (lambda _: b"", b""),
    "empty lines": (lambda _: b"", b"\r\n"),
    "an address": (lambda _: b"GET /", b"x"),
    "headers": (open_head, b"X-Odd: 1\r\n"),
    "silence in the headers": (open_head, b""),
    "the next head": (lambda port: port.request() + open_head(port), b"X-Odd: 1\r\n"),
    "a body": (lambda port: port.request(length=1_000), b"x"),
    "silence in a body": (lambda port: port.request(length=1_000), b""),
}
NO_HTTP: dict[str, Raw] = {
    "bytes": lambda _: bytes(range(128, 256)) * 4 + b"\r\n\r\n",
    "TLS": lambda _: b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 64 + b"\r\n\r\n",
    "another protocol": lambda _: b"SSH-2.0-OpenSSH_9.9\r\n\r\n",
    "no version": lambda port: port.request().replace(b"HTTP/1.1", b"HTTP/x"),
    "two lengths": lambda port: port.request("Content-Length: 2", length=3) + b"xx",
    "a length that is none": lambda port: port.request("Content-Length: ten"),
    "a negative length": lambda port: port.request("Content-Length: -1"),
    "a header without a name": lambda port: port.request(": x"),
    "a control character": lambda port: port.request("X-Odd: a\0b"),
}
CROWDS: dict[str, Raw] = {
    "nothing": lambda _: b"",
    "one byte": lambda _: b"G",
    "half a head": open_head,
    "half a body": lambda port: port.request(method="POST", length=100) + b"x",
    "a request, and stay": lambda port: port.request(),
    "a request and half of the next": lambda port: port.request() + open_head(port),
    "five requests at once": lambda port: port.request() * 5,
}


@pytest.fixture(scope="module", autouse=True)
def many_files() -> Iterator[None]:
    """Allow the two ends of a crowd in one process: an ordinary user has 1,024 open files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4096)), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture(params=PORTS)
async def port(request: pytest.FixtureRequest) -> AsyncIterator[ServedPort]:
    async with PORTS[request.param]() as served:
        yield served


async def cut_off(port: ServedPort, first: bytes, part: bytes, pause: float) -> float:
    """Send without reading; return the seconds until the connection ends."""
    began, sent = time.monotonic(), 0
    async with port.connect(first) as (_, writer):
        while not writer.transport.is_closing() and sent < MAX_SENT:
            writer.write(part)
            sent += len(part)
            with contextlib.suppress(ConnectionError):
                await writer.drain()
            await asyncio.sleep(pause)
    return time.monotonic() - began


async def cut_off_in_silence(port: ServedPort, first: bytes, part: bytes) -> float:
    """Send a part every 0.2 s; return the seconds until the server disconnects."""
    began = time.monotonic()
    async with port.connect(first) as (reader, writer), asyncio.timeout(30):
        while not reader.at_eof():
            with contextlib.suppress(ConnectionError):
                writer.write(part)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(reader.read(65_536), 0.2)
    return time.monotonic() - began


async def test_senders_that_never_end_and_never_listen_are_cut_off(port: ServedPort) -> None:
    senders = [cut_off(port, raw(port), part, 0.005) for raw, part in NEVER_ENDING.values()]
    lasted = dict(zip(NEVER_ENDING, await asyncio.gather(*senders), strict=True))
    assert max(lasted.values()) < CUT_OFF_SECONDS + 3, lasted
    assert (await port.visit())[0] == port.status


async def test_slow_senders_are_not_awaited_for_ever_and_a_used_connection_is_kept(port: ServedPort) -> None:
    async with port.connect(port.request()) as (kept, _):
        senders = [cut_off_in_silence(port, raw(port), part) for raw, part in SLOW.values()]
        lasted = dict(zip(SLOW, await asyncio.gather(*senders), strict=True))
        assert max(lasted.values()) < CUT_OFF_SECONDS + 2, lasted
        assert (await kept.read(65_536)).startswith(f"HTTP/1.1 {port.status} ".encode())
        assert not kept.at_eof()


@pytest.mark.parametrize("kind", NO_HTTP)
async def test_what_is_no_http_is_refused_and_the_connection_ends(kind: str, port: ServedPort) -> None:
    async with port.connect(NO_HTTP[kind](port)) as (reader, _), asyncio.timeout(10):
        answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1 ") == 1


async def test_a_client_that_pipelines_a_few_requests_is_answered_in_order(port: ServedPort) -> None:
    other = port.request().replace(port.url.path.encode(), b"/other", 1)
    last = port.request("Connection: close")
    async with port.connect((port.request() + other) * 10 + last) as (reader, _), asyncio.timeout(10):
        answers = await reader.read()
    statuses = [int(part[:3]) for part in answers.split(b"HTTP/1.1 ")[1:]]
    assert len(statuses) == 21
    assert set(statuses[::2]) == {port.status}


async def test_too_many_requests_over_one_connection_end_it(port: ServedPort) -> None:
    async with port.connect(port.request() * 500) as (reader, _), asyncio.timeout(10):
        answers = (await reader.read()).count(f"HTTP/1.1 {port.status} ".encode())
    assert 0 < answers < 500


@pytest.mark.parametrize("kind", CROWDS)
async def test_a_crowd_keeps_no_visitor_out(kind: str, port: ServedPort) -> None:
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(port.most + 10):
            await stack.enter_async_context(port.connect(CROWDS[kind](port)))
        await asyncio.sleep(0.2)
        visits = [await port.visit() for _ in range(3)]
    assert {status for status, _ in visits} == {port.status}
    assert max(seconds for _, seconds in visits) < 10 * SOON_SECONDS  # on a busy machine


async def test_endless_pipelining_does_not_block_a_visitor(port: ServedPort) -> None:
    """Each connection sends 200 requests at once; this process's CPU time counts, as sender and server, beside load."""
    async with contextlib.AsyncExitStack() as stack:
        opened = [await stack.enter_async_context(port.connect()) for _ in range(port.most + 50)]
        readers = [asyncio.create_task(discard(reader)) for reader, _ in opened]
        for _, writer in opened:
            writer.write(port.request() * 200)
        began = time.process_time()
        visits = await asyncio.gather(*(port.visit() for _ in range(10)))
        took = time.process_time() - began
        for task in readers:
            task.cancel()
        await asyncio.gather(*readers, return_exceptions=True)
    assert {status for status, _ in visits} == {port.status}
    assert took < 2 * SOON_SECONDS
    assert max(seconds for _, seconds in visits) < 10 * SOON_SECONDS  # on a busy machine


async def test_an_offer_of_http_2_is_passed_over_and_the_request_behind_it_is_answered(port: ServedPort) -> None:
    last = port.request("Connection: close")
    for offered in (port.request(*H2C), port.request(*H2C, method="GET", length=3) + b"abc"):
        async with port.connect(offered + last) as (reader, _), asyncio.timeout(10):
            answers = await reader.read()
        assert answers.count(f"HTTP/1.1 {port.status} ".encode()) == 2, answers
