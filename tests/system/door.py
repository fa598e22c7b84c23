"""The webhook endpoint of a running system: its log, memory and side effects, and odd requests to it."""

import gzip
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis

from dev.stack.system import System
from tests.kit.signing import github
from tests.kit.world import World, wait_for
from tests.system.senders import memory_mb, request

Sign = Callable[[bytes], dict[str, str]]
MAX_MORE_MB = 32
HAS_PROC = Path("/proc/self/status").exists()
SETTINGS = {
    "WEBHOOK_SECRET_STRICT": "s3cret-of-strict",
    "strict.webhook.require_timestamp": "true",
    "WEBHOOK_SECRET_SHUT": "s3cret-of-shut",
    "SERVICEDESK_URL_SHUT": "nowhere",
    "SERVICEDESK_URL_INITECH": "http://127.0.0.1:1",
    "SERVICEDESK_API_KEY_INITECH": "key-of-initech",
}
"""More tenants of the odd requests: `strict`; `shut`, whose settings are unusable; `initech`, without a secret."""
GOOD = b'{"tenant_id": "acme", "ticket_id": "12345"}'


@dataclass(frozen=True)
class Odd:
    name: str
    status: int
    reason: str
    raw: bytes


def all_odd(sign: Sign) -> list[Odd]:
    """Return each kind of request that is refused at once. `tests/jobs` has many more bodies."""

    def signed(body: bytes, *headers: str) -> bytes:
        return request(body, *_lines(sign(body)), *headers)

    def of(tenant: str) -> bytes:
        return json.dumps({"tenant_id": tenant, "ticket_id": "12345"}).encode()

    def untimed(tenant: str) -> bytes:
        return request(of(tenant), *_lines(github(SETTINGS[f"WEBHOOK_SECRET_{tenant.upper()}"], of(tenant))))

    def ticket(value: object) -> bytes:
        return signed(json.dumps({"tenant_id": "acme", "ticket_id": value}).encode())

    def at(line: str, *headers: str) -> bytes:
        return request(GOOD, *headers, line=f"{line} HTTP/1.1")

    post = "POST /webhook HTTP/1.1\r\nHost: api\r\n"
    kinds: dict[tuple[int, str], dict[str, bytes]] = {
        (400, "malformed payload"): {
            "nothing": request(b""),
            "half an object": request(b'{"tenant_id": "acme", "ticket_id": '),
            "two tenants": request(b'{"tenant_id": "acme", "tenant_id": "globex", "ticket_id": "12345"}'),
            "not UTF-8": request(b'{"tenant_id": "acme", "ticket_id": "12345", "subject": "\xff\xfe"}'),
            "deep nesting": request(b'{"tenant_id": "acme", "x": ' + b"[" * 30_000 + b"]" * 30_000 + b"}"),
            "quotes that are never closed": request(b'"' + b'\\"' * 32_000),
            "bytes": request(bytes(range(256))),
        },
        (403, "signature missing"): {"no signature": request(GOOD)},
        (403, "signature mismatch"): {
            "a wrong signature": request(GOOD, "X-ServiceDesk-Signature: sha256=" + "0" * 64),
            "another body's": request(GOOD + b" ", *_lines(sign(GOOD))),
            "a changed timestamp": request(GOOD, *_lines(sign(GOOD) | {"x-servicedesk-timestamp": "1"})),
            "no hexadecimal digits": request(GOOD, "X-Hub-Signature-256: sha256=\xe9\xff"),
            "a version that nobody knows": request(GOOD, "webhook-signature: v9,AAAA"),
        },
        (403, "unknown tenant"): {
            "an unknown tenant": signed(of("umbrella")),
            "a tenant of another kind": signed(of("ACME\n\x1b[31m\u202e")),
            "a tenant without a secret": signed(of("initech")),
        },
        (403, "tenant closed"): {"a tenant that is closed": untimed("shut")},
        (403, "timestamp missing"): {"no timestamp": untimed("strict")},
        (403, "token mismatch"): {"a token that nobody has": request(GOOD, f"X-ServiceDesk-Token: {'x' * 40}")},
        (403, "token missing"): {"no token": at("POST /webhook/acme")},
        (422, "malformed payload"): {
            "ticket id: a newline": ticket("123\n"),
            "ticket id: a terminal sequence": ticket("\x1b[2J123"),
            "ticket id: 21 digits": ticket("1" * 21),
            "ticket id: infinity": ticket(float("inf")),
            "ticket id: a half of a character": ticket("\ud800"),
            "ticket id: 1e400": signed(b'{"tenant_id": "acme", "ticket_id": 1e400}'),
            "no ticket id": signed(b'{"tenant_id": "acme"}'),
            "an event with a newline": signed(GOOD[:-1] + b', "event": "x\\nWebhook received"}'),
        },
        (404, "unknown address"): {"another address": at("POST /webhooks"), "a slash more": at("POST /webhook/")},
        (400, "signed webhook at a tenant's address"): {"signed": at("POST /webhook/acme", *_lines(sign(GOOD)))},
        (405, "wrong method"): {"PUT": at("PUT /webhook"), "PUT at a tenant's": at("PUT /webhook/acme")},
        (413, "body too large"): {"over 64 KiB": signed(GOOD[:-1] + b', "x": "' + b"x" * 65_536 + b'"}')},
        (415, "unsupported content type"): {
            f"declared as {kind}": signed(GOOD, f"Content-Type: {kind}")
            for kind in ("text/html", "application/xml; charset=utf-8", "multipart/form-data; boundary=x", "json")
        },
        (415, "compressed body"): {
            "compressed with gzip": signed(gzip.compress(GOOD), "Content-Encoding: gzip"),
            "compressed with br": signed(gzip.compress(GOOD), "Content-Encoding: br"),
            "compressed twice": request(GOOD, "Content-Encoding: identity, gzip"),
        },
        (431, "headers too large"): {
            "one long header": request(GOOD, "X-Odd: " + "x" * 40_000),
            "many headers": request(GOOD, *(f"X-{number}: x" for number in range(6_000))),
            "a long address": request(line=f"POST /{'x' * 40_000} HTTP/1.1"),
        },
        (400, "malformed request"): {
            "no HTTP: bytes": bytes(range(128, 256)) * 4,
            "no HTTP: TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 64,
            "no HTTP: another protocol": b"SSH-2.0-OpenSSH_9.9\r\n",
            "no HTTP: no version": b"POST /webhook HTTP/x\r\nHost: api\r\n\r\n",
            "no HTTP: HTTP/2 at once": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            "no HTTP: a header without a name": request(GOOD, ": x"),
            "no HTTP: a control character in a header": request(GOOD, "X-Odd: a\x00b"),
            "no HTTP: a length that is none": f"{post}Content-Length: ten\r\n\r\n".encode(),
            "no HTTP: a negative length": f"{post}Content-Length: -1\r\n\r\n".encode(),
            "no HTTP: a length beyond numbers": f"{post}Content-Length: {'9' * 40}\r\n\r\n".encode(),
            "no HTTP: two lengths": request(GOOD, "Content-Length: 2"),
            "no HTTP: a length and chunks": request(GOOD, "Transfer-Encoding: chunked"),
            "no HTTP: an address beyond ASCII": at("POST /w\xe9bhook"),
        },
        (400, "body incomplete"): {"no chunk's size": f"{post}Transfer-Encoding: chunked\r\n\r\nzz\r\n".encode()},
    }
    return [Odd(name, status, reason, raw) for (status, reason), named in kinds.items() for name, raw in named.items()]


def _lines(headers: dict[str, str]) -> list[str]:
    return [f"{name}: {value}" for name, value in headers.items()]


class ApiDoor:
    """The API of a system, which logs nothing between two tests."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.world = World(system)
        self.url = system.state["api_url"]
        self._log = system.api.log_path
        self._seen = 0
        self.listen()

    def close(self) -> None:
        self.world.close()

    def listen(self) -> None:
        self._seen = self._log.stat().st_size

    def said(self) -> list[str]:
        return self._log.read_bytes()[self._seen :].decode("utf-8").splitlines()

    def reasons(self) -> list[str]:
        """Return the sorted rejection reasons since `listen`; no other line is allowed."""
        return sorted(line.split("Webhook rejected: ")[1].split("reason=")[1].split(" | ")[0] for line in self.said())

    def assert_refused(self, status: int, reason: str) -> None:
        wait_for(self.said, 5)
        time.sleep(0.05)
        (line,) = self.said()
        assert f"warning Webhook rejected: status={status}, reason={reason} |" in line
        assert "trace_id: " in line
        assert not any(word in line.lower() for word in ("error", "traceback", "\x1b"))

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        before, memory = self.counts(), self.memory_mb("VmHWM:")
        yield
        assert self.counts() == before
        assert self.memory_mb("VmHWM:") - memory < MAX_MORE_MB

    def counts(self) -> dict[str, int]:
        rows = "SELECT (SELECT count(*) FROM jobs), (SELECT count(*) FROM delivery_keys)"
        with self.world.admin() as connection, redis.Redis.from_url(self.system.state["redis_url"]) as client:
            ((jobs, keys),) = connection.execute(rows).fetchall()
            queues = {"celery": client.llen("celery"), "inbox": client.hlen("inbox")}
            return {"jobs": jobs, "delivery_keys": keys} | queues

    def memory_mb(self, what: str = "VmRSS:") -> float:
        return memory_mb(self.system.api.pid, what) if HAS_PROC else 0.0

    def odd_requests(self) -> list[Odd]:
        return all_odd(self.world.sign)


def opened(system: System) -> Iterator[ApiDoor]:
    door = ApiDoor(system)
    yield door
    door.close()


@pytest.fixture
def door(door_of_system: ApiDoor) -> ApiDoor:
    door_of_system.listen()
    return door_of_system


@pytest.fixture
def closed_door(door: ApiDoor) -> Iterator[ApiDoor]:
    """Yield a door for a test that posts nothing valid."""
    with door.unchanged():
        yield door
