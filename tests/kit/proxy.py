"""A forward proxy for a network without outside name resolution."""

import asyncio
import base64
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

# RFC 9110, 9.3.6 and 15.5.8: CONNECT names host and port; any 2xx begins the tunnel; 407 requests credentials.
_ASKS = b'HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm="out"\r\n\r\n'


@dataclass
class ConnectProxy:
    """A proxy with local ports in place of outside hosts.

    `outside` maps `host:port` to a port; others are answered with `otherwise`.
    """

    outside: dict[str, int] = field(default_factory=dict)
    credentials: str = ""
    """Required `USER:PASSWORD`; empty for none."""
    otherwise: int = 502
    port: int = 0
    requested: list[str] = field(default_factory=list)
    """The target of each CONNECT, in order, and other request lines as they are."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            method, target, _ = head.splitlines()[0].split(" ")
            self.requested.append(target if method == "CONNECT" else head.splitlines()[0])
            proof = base64.b64encode(self.credentials.encode()).decode()
            if self.credentials and f"\r\nproxy-authorization: basic {proof}\r\n".lower() not in head.lower():
                writer.write(_ASKS)
            elif method != "CONNECT" or target not in self.outside:
                writer.write(f"HTTP/1.1 {self.otherwise} No\r\n\r\n".encode())
            else:
                writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
                await _pass_on(self.outside[target], reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()


async def _pass_on(port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    answers, questions = await asyncio.open_connection("127.0.0.1", port)
    try:
        await asyncio.gather(_copy(reader, questions), _copy(answers, writer))
    finally:
        questions.transport.abort()


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while data := await source.read(65536):
        sink.write(data)
        await sink.drain()
    sink.close()


@contextmanager
def serving_proxy(proxy: ConnectProxy, tls: ssl.SSLContext | None = None) -> Iterator[ConnectProxy]:
    """Serve the proxy in a thread, with TLS to the proxy itself if `tls` is given."""
    with _serving(proxy.serve, tls) as proxy.port:
        yield proxy


@contextmanager
def with_tls(port: int, tls: ssl.SSLContext) -> Iterator[int]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await _pass_on(port, reader, writer)
        except OSError:
            return
        finally:
            writer.close()

    with _serving(serve, tls) as its_port:
        yield its_port


@contextmanager
def _serving(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]], tls: ssl.SSLContext | None
) -> Iterator[int]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    opening = asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    server = asyncio.run_coroutine_threadsafe(opening, loop).result()
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        asyncio.run_coroutine_threadsafe(_close(server), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _close(server: asyncio.Server) -> None:
    server.close()
    mine = asyncio.current_task()
    others = [task for task in asyncio.all_tasks() if task is not mine]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    # A transport closes in the loop's next rounds.
    await asyncio.sleep(0.01)
