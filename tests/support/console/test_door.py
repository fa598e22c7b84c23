"""The console's port under attack: slow readers, and input that is not HTTP."""

import asyncio
import contextlib
import re
import socket

from support.console.process import MOST_CONNECTIONS
from tests.kit.logs import StartLog
from tests.support.console.site import ConsoleSite, console_site


async def test_strangers_who_never_read_their_answers_keep_nobody_out() -> None:
    async with console_site(kernel_keeps=4096) as site, site.browser() as browser:
        script = re.search(r"/static/[^\"]+\.js", (await browser.get("/login")).text)
        assert script
        request = f"GET {script[0]} HTTP/1.1\r\nHost: {site.url.removeprefix('http://')}\r\n\r\n".encode()
        with contextlib.ExitStack() as stack:
            for _ in range(MOST_CONNECTIONS + 5):
                stranger = stack.enter_context(await connected(site))
                await asyncio.get_running_loop().sock_sendall(stranger, request * 5)
            async with site.browser() as other:
                assert (await other.get("/login")).status_code == 200


async def test_what_is_no_request_fills_no_log(start_log: StartLog) -> None:
    lines = start_log()
    async with console_site() as site:
        host = site.url.removeprefix("http://")
        for sent in ("\x16\x03\x01\r\n\r\n", f"GET /login HTTP/1.1\r\nHost: {host}\r\n{UPGRADE}\r\n\r\n"):
            with await connected(site) as stranger:
                await asyncio.get_running_loop().sock_sendall(stranger, sent.encode())
                answer = await asyncio.get_running_loop().sock_recv(stranger, 20)
                assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 200"))
    assert lines.getvalue() == ""


UPGRADE = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA=="


async def connected(site: ConsoleSite) -> socket.socket:
    """Open a connection with the smallest receive buffer."""
    stranger = socket.socket()
    stranger.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    stranger.setblocking(False)
    host, _, port = site.url.removeprefix("http://").partition(":")
    await asyncio.get_running_loop().sock_connect(stranger, (host, int(port)))
    return stranger
