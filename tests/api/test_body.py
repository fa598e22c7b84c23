"""Reading a body up to a size limit."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.requests import Request

from api.refusals import WebhookRefused, read_body


class Client:
    """Sends these parts, and counts those that were read."""

    def __init__(self, *parts: bytes, leaves: bool = False) -> None:
        self._messages = self._send(parts, leaves=leaves)
        self.read = 0

    def _send(self, parts: tuple[bytes, ...], *, leaves: bool) -> Iterator[dict[str, Any]]:
        for number, part in enumerate(parts):
            yield {"type": "http.request", "body": part, "more_body": leaves or number < len(parts) - 1}
        if leaves:
            yield {"type": "http.disconnect"}

    async def receive(self) -> dict[str, Any]:
        self.read += 1
        return next(self._messages)

    @property
    def request(self) -> Request:
        return Request({"type": "http", "method": "POST", "headers": []}, self.receive)


async def test_a_body_in_parts_is_put_together_up_to_the_limit() -> None:
    assert await read_body(Client(b"ab", b"", b"cd").request, 4, 10) == b"abcd"
    assert await read_body(Client(b"").request, 4, 10) == b""


async def test_a_body_that_is_too_large_is_read_to_its_end_before_it_is_refused() -> None:
    client = Client(b"abc", b"de", b"f" * 1000, b"g")
    with pytest.raises(WebhookRefused, match="body too large"):
        await read_body(client.request, 4, 10)
    assert client.read == 4


async def test_a_client_that_sends_for_ever_is_not_read_for_ever() -> None:
    client = Client(*[b"x" * 1024 * 1024] * 40)
    with pytest.raises(WebhookRefused, match="body too large"):
        await read_body(client.request, 4, 10)
    assert client.read < 20


async def test_a_client_that_leaves_is_told_from_one_that_sends_too_much() -> None:
    with pytest.raises(WebhookRefused, match="body incomplete"):
        await read_body(Client(b"ab", leaves=True).request, 4, 10)
    with pytest.raises(WebhookRefused, match="body too large"):
        await read_body(Client(b"abcde", b"f", leaves=True).request, 4, 10)


async def test_an_announced_size_is_refused_without_waiting_for_a_body_that_does_not_come() -> None:
    async def silence() -> dict[str, Any]:
        await asyncio.sleep(60)
        return {"type": "http.disconnect"}

    for headers, most in (([], 3.0), ([(b"expect", b"100-continue")], 0.5)):
        began = time.monotonic()
        head = [(b"content-length", b"10000000"), *headers]
        with pytest.raises(WebhookRefused, match="body too large"):
            await read_body(Request({"type": "http", "method": "POST", "headers": head}, silence), 4, 10)
        assert time.monotonic() - began < most
