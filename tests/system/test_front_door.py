"""The receiver under attack: one clear answer, one line, no side effect."""

import asyncio
import json
import random
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dev.stack.system import System
from jobs import rejections
from tests.kit.world import wait_for
from tests.system.door import GOOD, MAX_MORE_MB, SETTINGS, ApiDoor, all_odd, opened
from tests.system.senders import address, exchange, flood, for_ever, read_answer, read_to_end, request, status_of

POST = b"POST /webhook HTTP/1.1\r\nHost: api\r\n"
IN_CHUNKS = POST + b"Transfer-Encoding: chunked\r\n\r\n"
NEVER_ENDING: dict[str, tuple[bytes, bytes, int, str]] = {
    "body": (request(length=10**12), b"x" * 65_536, 413, "body too large"),
    "chunks": (IN_CHUNKS, b"10000\r\n" + b"x" * 65_536 + b"\r\n", 413, "body too large"),
    "a chunk's size": (IN_CHUNKS + b"1;", b"x" * 65_536, 400, "body incomplete"),
    "trailers": (IN_CHUNKS + b"0\r\n", b"X-Odd: 1\r\n" * 6_000, 400, "body incomplete"),
    "headers": (POST, b"X-Odd: " + b"x" * 1_000 + b"\r\n", 431, "headers too large"),
    "a header": (POST + b"X-Odd: ", b"x" * 65_536, 431, "headers too large"),
    "address": (b"POST /webhook?", b"x" * 65_536, 431, "headers too large"),
    "empty lines": (b"", b"\r\n" * 6_000, 431, "headers too large"),
}
SLOW: dict[str, tuple[list[bytes], int, str]] = {
    "body": ([request(length=100), *[b"{"] * 99], 408, "body too slow"),
    "headers": ([POST, *[b"X-Odd: 1\r\n"] * 99], 408, "headers too slow"),
    "address": ([b"POST /", *[b"x"] * 99], 408, "headers too slow"),
    "silence in the headers": ([b"POST /webh", *[b""] * 99], 408, "headers too slow"),
    "silence in the body": ([request(length=100), *[b""] * 99], 408, "body too slow"),
    "empty lines": ([b"\r\n"] * 99, 0, ""),
}


def mutated(raw: bytes, chance: random.Random) -> bytes:
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(raw))
        new = chance.choice([b"", bytes([chance.randrange(256)]), raw[at : at + 2] * 2, b"\r\n", b"\x00"])
        raw = raw[:at] + new + raw[at + 1 :]
    return raw


SENDER_SECONDS = 1.5


@pytest.fixture(scope="module")
def door_of_system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiDoor]:
    """Start afresh, since memory is measured, without workers; one tenant has no secret."""
    settings = SETTINGS | {"WEBHOOK_TIMEOUT_SECONDS": str(SENDER_SECONDS)}
    with System(tmp_path_factory.mktemp("door"), settings=settings, workers=0, housekeeping=False) as running:
        yield from opened(running)


@pytest.mark.parametrize("name", [odd.name for odd in all_odd(lambda _body: {})])
def test_an_odd_request_gets_its_answer_and_one_line(name: str, closed_door: ApiDoor) -> None:
    odd = next(odd for odd in closed_door.odd_requests() if odd.name == name)
    received = exchange(closed_door.url, [odd.raw])
    assert status_of(received) == odd.status, received
    if odd.status == 403:
        assert received.endswith(b'{"detail":"forbidden"}')
    closed_door.assert_refused(odd.status, odd.reason)


def test_slow_senders_get_408(closed_door: ApiDoor) -> None:

    def send(parts: list[bytes]) -> tuple[int, float]:
        began = time.monotonic()
        return status_of(exchange(closed_door.url, parts, pause=0.2)), time.monotonic() - began

    with ThreadPoolExecutor(len(SLOW)) as pool:
        ends = list(pool.map(send, [parts for parts, _, _ in SLOW.values()]))
    assert [status for status, _ in ends] == [status for _, status, _ in SLOW.values()]
    assert max(seconds for _, seconds in ends) < SENDER_SECONDS + 2
    assert closed_door.reasons() == sorted(reason for _, _, reason in SLOW.values() if reason)


@pytest.mark.parametrize("kind", NEVER_ENDING)
def test_a_sender_that_never_ends_hears_why_it_is_refused(kind: str, closed_door: ApiDoor) -> None:
    head, part, status, reason = NEVER_ENDING[kind]
    assert status_of(exchange(closed_door.url, [head, *[part] * 1_000], pause=0.001)) == status
    closed_door.assert_refused(status, reason)


def test_senders_that_never_end_and_never_listen_are_cut_off(closed_door: ApiDoor) -> None:
    compressed = (request(b"", "Content-Encoding: gzip", length=10**12), b"x" * 65_536, 415, "compressed body")
    senders = [*NEVER_ENDING.values(), compressed]

    def send(head: bytes, part: bytes) -> float:
        began = time.monotonic()
        with socket.create_connection(address(closed_door.url), timeout=10) as connection:
            try:
                connection.sendall(head)
                for piece in for_ever(part, 15):
                    connection.sendall(piece)
            except OSError:
                return time.monotonic() - began
        return 15

    with ThreadPoolExecutor(len(senders)) as pool:
        lasted = list(pool.map(send, [head for head, *_ in senders], [part for _, part, *_ in senders]))
    assert max(lasted) < 10
    assert closed_door.reasons() == sorted(reason for *_, reason in senders)


def test_a_body_of_10_mb_is_refused_and_the_connection_stays_open(closed_door: ApiDoor) -> None:
    """The 413 reaches a client that sends all before it reads; its next request works."""
    large = b'{"tenant_id": "acme", "x": "' + b"x" * 10_000_000
    with socket.create_connection(address(closed_door.url), timeout=10) as connection:
        for raw, status in ((request(large), 413), (request(large), 413), (request(b"junk"), 400)):
            connection.sendall(raw)
            assert status_of(read_answer(connection)) == status
    assert closed_door.reasons() == ["body too large", "body too large", "malformed payload"]


def test_a_sender_that_leaves_in_the_middle_is_one_line(closed_door: ApiDoor) -> None:
    with socket.create_connection(address(closed_door.url), timeout=10) as connection:
        connection.sendall(request(GOOD, length=5_000))
    closed_door.assert_refused(400, "body incomplete")


def test_what_can_not_be_read_takes_nothing_from_the_request_before(closed_door: ApiDoor) -> None:
    with socket.create_connection(address(closed_door.url), timeout=10) as connection:
        connection.sendall(request(b"junk") + b"\x00\x01\x02\r\n\r\n")
        assert read_to_end(connection).count(b"HTTP/1.1 ") == 1
    assert closed_door.reasons() == ["malformed payload", "malformed request"]


def test_too_many_requests_over_one_connection_end_it(closed_door: ApiDoor) -> None:
    with socket.create_connection(address(closed_door.url), timeout=10) as connection:
        connection.sendall(request(b"junk") * 500)
        answers = read_to_end(connection).count(b"HTTP/1.1 400")
    assert 32 <= answers < 500
    assert closed_door.reasons() == ["malformed payload"] * answers + ["too many requests at once"]


def test_each_request_over_a_connection_has_a_time_of_its_own(closed_door: ApiDoor) -> None:
    raw = request(b"junk")
    with socket.create_connection(address(closed_door.url), timeout=10) as connection:
        connection.sendall(raw[:9])
        for _ in range(9):
            time.sleep(SENDER_SECONDS / 6)
            connection.sendall(raw[9:] + raw[:9])
            assert status_of(read_answer(connection)) == 400
    assert closed_door.reasons() == ["malformed payload"] * 9


@pytest.mark.slow
def test_5000_odd_requests_leave_everything_as_it_was(closed_door: ApiDoor) -> None:
    """The record of rejections is capped."""
    kinds = closed_door.odd_requests()
    chosen = random.Random(0).choices(kinds, k=5_000)  # noqa: S311 -- no secret
    asyncio.run(flood(closed_door.url, [odd.raw for odd in kinds * 5], 50))
    before = closed_door.memory_mb()
    statuses = asyncio.run(flood(closed_door.url, [odd.raw for odd in chosen], 50))
    assert statuses == [odd.status for odd in chosen]
    expected = sorted(odd.reason for odd in [*kinds * 5, *chosen])
    wait_for(lambda: len(closed_door.said()) >= len(expected), 10)
    assert closed_door.reasons() == expected
    assert closed_door.memory_mb() - before < MAX_MORE_MB / 2
    with closed_door.world.admin() as connection:
        kept = connection.execute("SELECT count(*) FROM rejections GROUP BY tenant_id, reason").fetchall()
    assert 0 < max(count for (count,) in kept) <= rejections.MAX_PER_HOUR


def test_requests_with_some_bytes_changed_are_no_trouble(closed_door: ApiDoor) -> None:
    chance = random.Random(1)  # noqa: S311 -- no secret
    sent = [mutated(request(GOOD, "Expect: x", "X-Hub-Signature-256: sha256=00"), chance) for _ in range(600)]
    statuses = Counter(asyncio.run(flood(closed_door.url, sent, 300)))
    # 0: a connection closed without an answer, since nothing had begun; others are for another address.
    told = Counter({status: times for status, times in statuses.items() if 400 <= status not in (404, 405)})
    assert max(statuses) < 500
    assert {400, 403, 408} <= set(told)
    lines = Counter(int(line.split("Webhook rejected: status=")[1][:3]) for line in closed_door.said())
    # More than one line where a change made two requests of one.
    assert told <= lines
    assert set(told) == set(lines) - {404, 405}


@pytest.mark.slow
def test_schemathesis_finds_no_answer_that_the_api_does_not_document(closed_door: ApiDoor, tmp_path: Path) -> None:
    checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
    command = "run --phases examples,coverage,fuzzing --max-examples 60 --seed 1 --generation-database none --no-color"
    options = ["--checks", checks, "--url", closed_door.url]
    program, document = Path(sys.executable).with_name("schemathesis"), closed_door.system.state["api_probe_url"]
    whole = [program, *command.split(), *options, f"{document}/openapi.json"]
    done = subprocess.run(whole, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout
    expected = {"malformed payload", "malformed request", "signature missing", "unknown tenant", "wrong method"}
    assert set(closed_door.reasons()) <= expected | {"unsupported content type"}


def test_odd_but_signed_webhooks_are_accepted(door: ApiDoor) -> None:
    """It is the last test of this module: good webhooks become jobs whose messages wait for a worker."""
    before = door.counts()
    json_type = "Content-Type: application/json"
    upgrade = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__")
    chunked = (*upgrade, "Transfer-Encoding: chunked")
    kinds: list[tuple[object, tuple[str, ...]]] = [
        ("18446744073709551616", (json_type,)),
        (99999999999999999999, (json_type,)),
        ("00012345678901234567", ("Content-Type: application/json; charset=utf-16",)),
        (900101, ("Content-Type: text/plain",)),
        (900102, ("Content-Type: application/x-www-form-urlencoded", "Content-Encoding: identity")),
        (900103, ()),
        (900104, (*upgrade, json_type)),
        (900105, (*chunked, json_type)),
        (900106, ("Transfer-Encoding: chunked", "Expect: 100-continue")),
    ]
    for number, (ticket_id, headers) in enumerate(kinds):
        body = json.dumps({"tenant_id": "acme", "ticket_id": ticket_id, "x": ""}).encode()
        body = body.replace(b'""', b'"' + b"x" * (65_536 - len(body)) + b'"') if number % 2 else body
        signed = request(body, *headers, *(f"{name}: {value}" for name, value in door.world.sign(body).items()))
        if "Transfer-Encoding: chunked" in headers:
            head = signed[: -len(body)].replace(b"Content-Length: %d\r\n" % len(body), b"")
            signed = head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        # In pieces, so that the body does not come with its headers.
        received = exchange(door.url, [signed[at : at + 1_000] for at in range(0, len(signed), 1_000)])
        assert status_of(received) == 202, (headers, received)
        assert door.world.job(str(ticket_id))["ticket_id"] == str(ticket_id)
    assert sum("Webhook received: " in line for line in door.said()) == len(kinds)
    assert sum("Job queued: " in line for line in door.said()) == len(kinds)
    assert len(door.said()) == 2 * len(kinds)
    grown = {what: now - before[what] for what, now in door.counts().items() if what != "delivery_keys"}
    assert grown == {"jobs": len(kinds), "celery": len(kinds), "inbox": 0}
