"""Runners of a simulator: a thread of a test, or a process until a signal."""

import asyncio
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from simulators.exchange import HANG_UP_EXTENSION

_START_SECONDS = 10.0


class HangUpProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol with an extension that closes the connection without an answer.

    ASGI has no such message; a desk that dies mid-answer needs it.
    """

    def on_message_begin(self) -> None:
        super().on_message_begin()
        scope: dict[str, Any] = self.scope  # type: ignore[assignment]
        scope["extensions"] = {HANG_UP_EXTENSION: {"close": self.transport.close}}


def _config(app: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=HangUpProtocol,
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        log_level="critical",
        timeout_graceful_shutdown=1,
    )


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=2048)


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@contextmanager
def serve_in_thread(app: ASGIApp, host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """Serve `app` in a thread; yield its base URL without a trailing slash.

    Port 0 selects a free one. Raises OSError if the port is taken, RuntimeError if the server does not start within
    10 s.
    """
    listener = _listen(host, port)
    server = uvicorn.Server(_config(app))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    try:
        thread.start()
        deadline = time.monotonic() + _START_SECONDS
        while not server.started:
            if not thread.is_alive() or time.monotonic() > deadline:
                raise RuntimeError("the simulator did not start")
            time.sleep(0.005)
        yield _address(listener)
    finally:
        server.should_exit = True
        thread.join(timeout=_START_SECONDS)
        listener.close()


class _AnnouncingServer(uvicorn.Server):
    """Prints the base URL once it accepts connections: the only line, for the parent process."""

    def __init__(self, config: uvicorn.Config, url: str) -> None:
        super().__init__(config)
        self._url = url

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        sys.stdout.write(self._url + "\n")
        sys.stdout.flush()


def _leave(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


def serve_until_signal(app: ASGIApp, host: str, port: int) -> None:
    """Serve `app` until SIGTERM or SIGINT; exit with 0 within about a second.

    The only output is one line on stdout, the base URL, once requests are accepted. Raises SystemExit with the reason
    if the port cannot be opened.
    """
    # uvicorn raises the signal again after its shutdown; unhandled, it would kill the process.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)
    try:
        listener = _listen(host, port)
    except OSError as error:
        raise SystemExit(f"cannot listen on {host}:{port}: {os.strerror(error.errno or 0)}") from None
    server = _AnnouncingServer(_config(app), _address(listener))
    with asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner, listener:
        runner.run(server.serve(sockets=[listener]))
