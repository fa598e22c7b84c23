"""The feedback port: invalid HTTP and crowds do not affect webhooks."""

import asyncio

from api.feedback_port import MOST_CONNECTIONS
from observability.metrics import WEBHOOKS
from tests.feedback.visiting import NOTE, Visit
from tests.kit.logs import StartLog
from tests.kit.postgres import Store


def refused_webhooks() -> float:
    return sum(sample.value for family in WEBHOOKS.collect() for sample in family.samples)


async def said_to(visit: Visit, sent: bytes) -> bytes:
    """Return the port's answer up to the end of the connection."""
    host, _, port = visit.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(sent)
    async with asyncio.timeout(10):
        answer = await reader.read()
    writer.close()
    return answer


async def test_what_is_no_http_is_refused_and_counts_as_no_webhook(visit: Visit, start_log: StartLog) -> None:
    stream, before = start_log(), refused_webhooks()
    for sent in (b"\x16\x03\x01 hello\r\n\r\n", b"GET / HTTP/1.1\r\nX: " + b"x" * 40_000 + b"\r\n\r\n"):
        assert (await said_to(visit, sent)).startswith(b"HTTP/1.1 4")
    assert stream.getvalue() == ""
    assert refused_webhooks() == before


async def test_a_crowd_gives_way_to_a_visitor(visit: Visit, store: Store, start_log: StartLog) -> None:
    """The longest silent connections are closed, with one line."""
    stream, before = start_log(), refused_webhooks()
    link = visit.link(await store.accept(**NOTE))
    host, _, port = visit.url.removeprefix("http://").partition(":")
    crowd = [await asyncio.open_connection(host, int(port)) for _ in range(2 * MOST_CONNECTIONS)]
    assert (await visit.vote(link)).status_code == 200
    reader, _ = crowd[0]
    async with asyncio.timeout(10):
        assert await reader.read() == b""
    for _, writer in crowd:
        writer.close()
    assert stream.getvalue().count("Feedback page: too many connections") == 1
    assert refused_webhooks() == before
