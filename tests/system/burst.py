"""A burst of pipelined requests over many connections, with new clients beside it."""

import asyncio
import contextlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx2

from tests.system.senders import address

CONNECTIONS = 300
_NEWCOMERS = 50
_BETWEEN_SECONDS = 0.02
_LONGEST_SECONDS = 60.0


def newcomers_during(url: str, pipelined: int) -> list[tuple[int, float]]:
    """Return status and seconds of new clients' `GET url` during a burst.

    In the burst, 300 connections pipeline this many of these requests; it ends with the last new client. The status
    is 0 if the connection ended without an answer.
    """
    parts = httpx2.URL(url)
    sent = f"GET {parts.raw_path.decode()} HTTP/1.1\r\nHost: {parts.netloc.decode()}\r\n\r\n".encode() * pipelined
    begun, over = threading.Event(), threading.Event()
    sender = threading.Thread(target=asyncio.run, args=(_send(url, sent, begun, over),))
    sender.start()
    try:
        assert begun.wait(_LONGEST_SECONDS)
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
        status = httpx2.get(url, trust_env=False, timeout=_LONGEST_SECONDS).status_code
    except httpx2.TransportError:
        status = 0
    return status, time.monotonic() - began


async def _send(url: str, sent: bytes, begun: threading.Event, over: threading.Event) -> None:
    """Open the connections, send over all of them at once, and read until `over`."""
    streams = [await asyncio.open_connection(*address(url)) for _ in range(CONNECTIONS)]

    async def read(reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(ConnectionError):
            while await reader.read(65536):
                pass

    for _, writer in streams:
        writer.write(sent)
    begun.set()
    readers = [asyncio.create_task(read(reader)) for reader, _ in streams]
    await asyncio.wait_for(asyncio.to_thread(over.wait), _LONGEST_SECONDS)
    for task in readers:
        task.cancel()
    await asyncio.gather(*readers, return_exceptions=True)
    for _, writer in streams:
        writer.transport.abort()
