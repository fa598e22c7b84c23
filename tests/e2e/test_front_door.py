"""The receiver under attack: whatever comes, one clear answer, one line, and nothing else is changed by it."""

import asyncio
import json
import random
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
import redis

from devstack.system import System
from tests.e2e.conftest import SHORT
from tests.e2e.odd_requests import GOOD, Odd, all_odd
from tests.e2e.senders import address, exchange, flood, for_ever, memory_mb, request, status_of
from tests.e2e.world import World, wait_for

SENDER_SECONDS = 1.5
MOST_MORE_MB = 32
WITHOUT_A_SECRET = {"SERVICEDESK_URL_INITECH": "http://127.0.0.1:1", "SERVICEDESK_API_KEY_INITECH": "key-of-initech"}
Said = Callable[[], list[str]]
WEBHOOK = "POST /webhook HTTP/1.1\r\nHost: api\r\n"


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A system that waits 1.5 s for slow senders, and knows a tenant that has no secret."""
    settings = SHORT | WITHOUT_A_SECRET | {"WEBHOOK_TIMEOUT_SECONDS": str(SENDER_SECONDS)}
    with System(tmp_path_factory.mktemp("door"), settings=settings, openai_seconds=0.2, housekeeping=False) as running:
        yield running


@pytest.fixture
def said(system: System) -> Said:
    """What the API says from now on."""
    log = system.api.log_path
    before = log.stat().st_size
    return lambda: log.read_bytes()[before:].decode("utf-8").splitlines()


@pytest.fixture(scope="module")
def url(system: System) -> str:
    """The API's address."""
    return system.state["api_url"]


@pytest.fixture(autouse=True)
def nothing_else(system: System) -> Iterator[None]:
    """Neither a row nor a message comes of a test that posts nothing good, and the memory stays."""
    world = World(system)
    before, memory = counts(world, system), peak_mb(system)
    yield
    assert counts(world, system) == before
    assert peak_mb(system) - memory < MOST_MORE_MB
    world.close()


def counts(world: World, system: System) -> dict[str, int]:
    """Rows of unfinished and finished jobs, keys of deliveries, messages, events in the inbox."""
    with world.admin() as connection, redis.Redis.from_url(system.state["redis_url"]) as client:
        rows = {table: count(connection, table) for table in ("jobs", "delivery_keys")}
        return rows | {"celery": client.llen("celery"), "inbox": client.hlen("inbox")}


def count(connection: psycopg.Connection[tuple[int]], table: str) -> int:
    """How many rows a table has."""
    row = connection.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608 -- a name of ours
    assert row is not None
    return row[0]


def peak_mb(system: System) -> float:
    """The most memory that the API ever held; where the machine tells."""
    return memory_mb(system.api.pid, "VmHWM:") if Path("/proc/self/status").exists() else 0.0


def assert_refused(said: Said, status: int, reason: str) -> None:
    """One line, with this status and reason, and no other."""
    wait_for(said, 5)
    time.sleep(0.05)
    (line,) = said()
    assert f"warning Webhook rejected: status={status}, reason={reason}" in line
    assert "trace_id: " in line
    assert not any(word in line.lower() for word in ("error", "traceback", "\x1b"))


class Signer:
    """Signs with the secret of `acme` as it is in the running system, which is not there yet when tests are listed."""

    def __init__(self) -> None:
        self.world: World | None = None

    def __call__(self, body: bytes) -> dict[str, str]:
        return self.world.sign(body) if self.world else {}


@pytest.mark.parametrize("name", [odd.name for odd in all_odd(Signer())])
def test_an_odd_request_gets_its_answer_and_one_line(name: str, system: System, url: str, said: Said) -> None:
    """A clear 4xx; a 403 tells nothing."""
    odd = next(odd for odd in odd_requests(system) if odd.name == name)
    received = exchange(url, [odd.raw])
    assert status_of(received) == odd.status, received
    if odd.status == 403:
        assert received.endswith(b'{"detail":"forbidden"}')
    assert_refused(said, odd.status, odd.reason)


def odd_requests(system: System) -> list[Odd]:
    """Each of them, signed for this system."""
    signer = Signer()
    signer.world = World(system)
    try:
        return all_odd(signer)
    finally:
        signer.world.close()


@pytest.mark.parametrize(
    ("parts", "status", "reason"),
    [
        ((f"{WEBHOOK}Content-Length: 100\r\n\r\n".encode(), *([b"{"] * 99)), 408, "body too slow"),
        ((WEBHOOK.encode(), *([b"X-Odd: 1\r\n"] * 99)), 408, "headers too slow"),
        ((b"P", b"O", b"S", *[b"T"] * 99), 400, "malformed request"),
        ((b"", b"", *[b"\r\n"] * 99), 0, ""),
    ],
    ids=["body", "headers", "method", "empty lines"],
)
def test_a_slow_sender_is_not_awaited_for_ever(
    parts: tuple[bytes, ...], status: int, reason: str, url: str, said: Said
) -> None:
    """A piece every 0.2 s: the time for the whole counts, not that for a piece."""
    began = time.monotonic()
    assert status_of(exchange(url, parts, pause=0.2)) == status
    assert time.monotonic() - began < SENDER_SECONDS + 2
    if reason:
        assert_refused(said, status, reason)
    assert len(said()) == bool(reason)


def test_a_sender_that_says_nothing_more_is_refused_and_its_connection_closed(url: str, said: Said) -> None:
    """Half a head, half a body, and then silence: the answer comes by itself, and then the end."""
    with socket.create_connection(address(url), timeout=10) as body, socket.create_connection(address(url)) as head:
        body.sendall(f"{WEBHOOK}Content-Length: 100\r\n\r\n{{".encode())
        head.sendall(b"POST /webh")
        head.settimeout(10)
        ends = [read_to_end(connection) for connection in (head, body)]
    assert [status_of(received) for received in ends] == [408, 408]
    assert sorted(line.split("reason=")[1].split("  ")[0] for line in said()) == ["body too slow", "headers too slow"]


def read_to_end(connection: socket.socket) -> bytes:
    """All that comes until the server closes."""
    received = b""
    while part := connection.recv(65536):
        received += part
    return received


@pytest.mark.parametrize(
    ("head", "part", "status", "reason"),
    [
        (request(length=10**12), b"x" * 65_536, 413, "body too large"),
        (f"{WEBHOOK}Transfer-Encoding: chunked\r\n\r\n".encode(), b"10000\r\n" + b"x" * 65_536 + b"\r\n", 413, "body too large"),
        (WEBHOOK.encode(), b"X-Odd: " + b"x" * 1_000 + b"\r\n", 431, "headers too large"),
        (f"{WEBHOOK}X-Odd: ".encode(), b"x" * 65_536, 431, "headers too large"),
        (b"POST /webhook?", b"x" * 65_536, 431, "headers too large"),
        (f"{WEBHOOK}Transfer-Encoding: chunked\r\n\r\n1;".encode(), b"x" * 65_536, 400, "body incomplete"),
        (f"{WEBHOOK}Transfer-Encoding: chunked\r\n\r\n0\r\n".encode(), b"X-Odd: 1\r\n" * 6_000, 400, "body incomplete"),
        (b"", b"\r\n" * 6_000, 431, "headers too large"),
    ],
    ids=["body", "chunks", "headers", "a header", "address", "chunk extension", "trailers", "empty lines"],
)  # fmt: skip
def test_a_sender_that_never_ends_is_refused_and_cut_off(
    head: bytes, part: bytes, status: int, reason: str, url: str, said: Said
) -> None:
    """It hears why, if it listens, and can't send for ever."""
    parts = iter([head, *[part] * 1_000])
    assert status_of(exchange(url, parts, pause=0.001)) == status
    assert_refused(said, status, reason)
    began = time.monotonic()
    with socket.create_connection(address(url), timeout=10) as deaf:
        with pytest.raises(OSError):  # noqa: PT011 -- reset or broken pipe
            for _ in [deaf.sendall(head), *map(deaf.sendall, for_ever(part, 15))]:
                pass
    assert time.monotonic() - began < SENDER_SECONDS + 4


def test_a_body_of_10_mb_is_refused_and_the_connection_goes_on(url: str, said: Said) -> None:
    """The 413 reaches a client that sends all before it reads; then its next request is answered."""
    large = b'{"tenant_id": "acme", "x": "' + b"x" * 10_000_000
    with socket.create_connection(address(url), timeout=10) as connection:
        for raw, status in ((request(large), 413), (request(large), 413), (request(b"junk"), 400)):
            connection.sendall(raw)
            received = b""
            while not received.endswith(b"}"):
                received += connection.recv(65536)
            assert status_of(received) == status
    assert [line.split("status=")[1][:3] for line in said()] == ["413", "413", "400"]


def test_a_sender_that_leaves_in_the_middle_is_one_line(url: str, said: Said) -> None:
    """Nobody is there to be answered."""
    with socket.create_connection(address(url), timeout=10) as connection:
        connection.sendall(request(GOOD, length=5_000))
    assert_refused(said, 400, "body incomplete")


def test_what_can_not_be_read_after_a_good_request_takes_nothing_from_it(url: str, said: Said) -> None:
    """The first is answered, the connection ends, and the second is one line."""
    with socket.create_connection(address(url), timeout=10) as connection:
        connection.sendall(request(b"junk") + b"\x00\x01\x02\r\n\r\n")
        assert read_to_end(connection).count(b"HTTP/1.1 ") == 1
    assert sorted(line.split("reason=")[1].split("  ")[0] for line in said()) == [
        "malformed payload",
        "malformed request",
    ]


def test_too_many_requests_over_one_connection_end_it(url: str, said: Said) -> None:
    """The first of them are answered."""
    with socket.create_connection(address(url), timeout=10) as connection:
        connection.sendall(request(b"junk") * 500)
        answers = read_to_end(connection).count(b"HTTP/1.1 400")
    assert 32 <= answers < 500
    told = [line.split("reason=")[1].split("  ")[0] for line in said()]
    assert sorted(set(told)) == ["malformed payload", "too many requests at once"]
    assert told.count("too many requests at once") == 1
    assert len(told) == answers + 1


def test_5000_odd_requests_leave_everything_as_it_was(system: System, url: str, said: Said) -> None:
    """Each is answered and told; memory, queue, rows and keys stay, and what is kept of rejections is capped."""
    kinds = odd_requests(system)
    chosen = random.Random(0).choices(kinds, k=5_000)  # noqa: S311 -- no secret
    asyncio.run(flood(url, [odd.raw for odd in kinds], 50))
    before = memory_mb(system.api.pid)
    began = time.monotonic()
    statuses = asyncio.run(flood(url, [odd.raw for odd in chosen], 50))
    print(
        f"5,000 odd requests in {time.monotonic() - began:.1f} s, memory {before:.1f} -> {memory_mb(system.api.pid):.1f} MB"
    )
    assert statuses == [odd.status for odd in chosen]
    wait_for(lambda: len(said()) >= len(kinds) + 5_000, 10)
    lines = said()
    assert len(lines) == len(kinds) + 5_000
    assert all("Webhook rejected: status=4" in line for line in lines)
    assert memory_mb(system.api.pid) - before < MOST_MORE_MB
    world = World(system)
    with world.admin() as connection:
        assert 0 < count(connection, "rejections") <= 250
    world.close()
