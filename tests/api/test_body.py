"""Requests at the webhook routes: the endpoint reads headers and body itself, up to a size limit."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.requests import Request

from api.refusals import WebhookRefused, read_body
from tests.kit.receiver import SECRET, Receiver, raw
from tests.kit.signing import github


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


@pytest.mark.parametrize(
    ("parts", "leaves", "result", "read"),
    [
        ([b"ab", b"", b"cd"], False, b"abcd", 3),
        ([b""], False, b"", 1),
        # Read to its end before it is refused.
        ([b"abc", b"de", b"f" * 1000, b"g"], False, "body too large", 4),
        # A client that sends for ever is not read for ever.
        ([b"x" * 1024 * 1024] * 40, False, "body too large", 19),
        ([b"ab"], True, "body incomplete", 2),
        ([b"abcde", b"f"], True, "body too large", 3),
    ],
)
async def test_a_body_is_put_together_up_to_the_limit(
    parts: list[bytes], leaves: bool, result: bytes | str, read: int
) -> None:
    client = Client(*parts, leaves=leaves)
    if isinstance(result, bytes):
        assert await read_body(client.request, 4, 10) == result
    else:
        with pytest.raises(WebhookRefused, match=result):
            await read_body(client.request, 4, 10)
    assert client.read <= read


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


BODY = b'{"tenant_id": "acme", "ticket_id": "1"}'


async def test_added_middleware_sees_each_webhook() -> None:
    receiver, seen = Receiver(), []

    @receiver.app.middleware("http")
    async def note(request: Request, call_next: Any) -> Any:
        seen.append(request.url.path)
        return await call_next(request)

    assert (await receiver.post([BODY], raw(github(SECRET, BODY))))[0] == 202
    assert (await receiver.post([BODY], [], path="/webhook/acme"))[0] == 403
    assert seen == ["/webhook", "/webhook/acme"]


@pytest.mark.parametrize(("secrets", "status"), [((SECRET, "another"), 202), (("another", SECRET), 403)])
async def test_of_two_headers_of_a_name_the_first_counts(secrets: tuple[str, str], status: int) -> None:
    headers = [header for secret in secrets for header in raw(github(secret, BODY))]
    assert (await Receiver().post([BODY], headers))[0] == status
