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

from dev.simulators.answers import HANG_UP_EXTENSION

_START_SECONDS = 10.0


class HangUpProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol that can close the connection without an answer.

    ASGI has no such message; a desk that dies mid-answer needs it.
    """

    def on_message_begin(self) -> None:
        super().on_message_begin()
        scope: dict[str, Any] = self.scope  # type: ignore[assignment]
        scope["extensions"] = {HANG_UP_EXTENSION: {"close": self.transport.close}}


class AnnouncingServer(uvicorn.Server):
    """A server on a new socket.

    A process prints the base URL, its only line, once it accepts connections. Raises OSError if the port is taken.
    """

    def __init__(self, app: ASGIApp, host: str, port: int, *, prints: bool = False) -> None:
        options: dict[str, Any] = {"ws": "none", "lifespan": "on", "access_log": False, "log_config": None}
        super().__init__(
            uvicorn.Config(app, http=HangUpProtocol, log_level="critical", timeout_graceful_shutdown=1, **options)
        )
        self.listener = socket.create_server((host, port), backlog=2048)
        self.url = "http://{}:{}".format(*self.listener.getsockname())
        self._prints = prints

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        if self._prints:
            sys.stdout.write(self.url + "\n")
            sys.stdout.flush()


@contextmanager
def serve_in_thread(app: ASGIApp, port: int = 0) -> Iterator[str]:
    """Serve `app` in a thread, at a free port by default; yield its base URL.

    Raises OSError if the port is taken, RuntimeError if the server does not start within 10 s.
    """
    server = AnnouncingServer(app, "127.0.0.1", port)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [server.listener]}, daemon=True)
    try:
        thread.start()
        deadline = time.monotonic() + _START_SECONDS
        while not server.started:
            if not thread.is_alive() or time.monotonic() > deadline:
                raise RuntimeError("the simulator did not start")
            time.sleep(0.005)
        yield server.url
    finally:
        server.should_exit = True
        thread.join(timeout=_START_SECONDS)
        server.listener.close()


def _leave(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


def serve_until_signal(app: ASGIApp, host: str, port: int) -> None:
    """Serve `app` until SIGTERM or SIGINT; exit with 0 within about a second.

    Raises SystemExit with the reason if the port cannot be opened.
    """
    # uvicorn raises the signal again after its shutdown; unhandled, it would kill the process.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)
    try:
        server = AnnouncingServer(app, host, port, prints=True)
    except OSError as error:
        raise SystemExit(f"cannot listen on {host}:{port}: {os.strerror(error.errno or 0)}") from None
    with asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner, server.listener:
        runner.run(server.serve(sockets=[server.listener]))
