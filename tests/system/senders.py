"""Raw bytes and bursts sent to a server, and its answers."""

import asyncio
import contextlib
import select
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2

_ANSWER_SECONDS = 15
_CONNECTIONS, _NEWCOMERS = 300, 50
_BETWEEN_SECONDS, _MAX_SECONDS = 0.02, 60.0


def request(body: bytes = b"", *headers: str, line: str = "POST /webhook HTTP/1.1", length: int | None = None) -> bytes:
    """Return an HTTP request as bytes; `length` replaces the body's Content-Length."""
    head = [line, "Host: api", f"Content-Length: {len(body) if length is None else length}", *headers, "", ""]
    return "\r\n".join(head).encode("latin-1") + body


def address(url: str) -> tuple[str, int]:
    parts = httpx2.URL(url)
    return parts.host, parts.port or 80


def exchange(url: str, parts: Iterable[bytes], pause: float = 0.0) -> bytes:
    """Send the parts over one connection, looking `pause` seconds for an answer after each; return the answer."""
    with socket.create_connection(address(url), timeout=_ANSWER_SECONDS) as connection:
        for part in parts:
            try:
                connection.sendall(part)
            except OSError:
                break
            if pause and select.select([connection], [], [], pause)[0]:
                break
        return read_answer(connection)


def read_answer(connection: socket.socket) -> bytes:
    """Read the first answer with its body, or its part before the connection ended."""
    received = b""
    with contextlib.suppress(ConnectionError):
        while not _complete(received):
            part = connection.recv(65536)
            if not part:
                break
            received = (received + part).removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
    return received


def read_to_end(connection: socket.socket) -> bytes:
    """Read until the server closes."""
    received = b""
    while part := connection.recv(65536):
        received += part
    return received


def _complete(received: bytes) -> bool:
    head, end, body = received.partition(b"\r\n\r\n")
    if not end:
        return False
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return bool(lengths) and len(body) >= int(lengths[0].split(b":")[1])


def status_of(received: bytes) -> int:
    """Return the status of an answer, 0 if there is none."""
    return int(received[9:12]) if received.startswith(b"HTTP/1.1 ") else 0


def for_ever(part: bytes, seconds: float) -> Iterator[bytes]:
    """Yield the part repeatedly, for at most this many seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield part


async def flood(url: str, requests: list[bytes], connections: int) -> list[int]:
    """Send each request over its own connection, this many at a time; return the statuses in order."""
    host, port = address(url)
    limit = asyncio.Semaphore(connections)

    async def send(one: bytes) -> int:
        async with limit:
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(one)
                head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _ANSWER_SECONDS)
            except (ConnectionError, asyncio.IncompleteReadError):
                return 0
            finally:
                writer.transport.abort()
            return status_of(head)

    return list(await asyncio.gather(*(send(one) for one in requests)))


def memory_mb(pid: int, what: str = "VmRSS:") -> float:
    """Return a process's memory in MB (`VmHWM:` its peak)."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith(what):
            return int(line.split()[1]) / 1024
    raise AssertionError(f"process {pid} has no {what}")


def newcomers_during(url: str, pipelined: int) -> list[tuple[int, float]]:
    """Return status (0 without an answer) and seconds of new clients' `GET url` during a burst.

    In the burst, 300 connections pipeline this many of these requests; it ends with the last new client.
    """
    parts = httpx2.URL(url)
    sent = f"GET {parts.raw_path.decode()} HTTP/1.1\r\nHost: {parts.netloc.decode()}\r\n\r\n".encode() * pipelined
    begun, over = threading.Event(), threading.Event()
    sender = threading.Thread(target=asyncio.run, args=(_send(url, sent, begun, over),))
    sender.start()
    try:
        assert begun.wait(_MAX_SECONDS)
        with ThreadPoolExecutor(_NEWCOMERS) as pool:
            visits = []
            for _ in range(_NEWCOMERS):
                visits.append(pool.submit(_visit, url))
                time.sleep(_BETWEEN_SECONDS)
            return [visit.result() for visit in visits]
    finally:
        over.set()
        sender.join()


def _visit(url: str) -> tuple[int, float]:
    began = time.monotonic()
    try:
        status = httpx2.get(url, trust_env=False, timeout=_MAX_SECONDS).status_code
    except httpx2.TransportError:
        status = 0
    return status, time.monotonic() - began


async def discard(reader: asyncio.StreamReader) -> None:
    """Read to the end of the connection."""
    with contextlib.suppress(ConnectionError):
        while await reader.read(65536):
            pass


async def _send(url: str, sent: bytes, begun: threading.Event, over: threading.Event) -> None:
    """Open the connections, send over all of them at once, and read until `over`."""
    streams = [await asyncio.open_connection(*address(url)) for _ in range(_CONNECTIONS)]
    for _, writer in streams:
        writer.write(sent)
    begun.set()
    readers = [asyncio.create_task(discard(reader)) for reader, _ in streams]
    await asyncio.wait_for(asyncio.to_thread(over.wait), _MAX_SECONDS)
    for task in readers:
        task.cancel()
    await asyncio.gather(*readers, return_exceptions=True)
    for _, writer in streams:
        writer.transport.abort()
