"""Invalid requests, each with the expected status and log reason."""

import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass

from tests.kit.signing import github
from tests.system.senders import request

Sign = Callable[[bytes], dict[str, str]]
SETTINGS = {
    "WEBHOOK_SECRET_STRICT": "s3cret-of-strict",
    "strict.webhook.require_timestamp": "true",
    "WEBHOOK_SECRET_SHUT": "s3cret-of-shut",
    "SERVICEDESK_URL_SHUT": "nowhere",
}
"""More tenants that these requests name: `strict`, and `shut`, whose settings are unusable."""
GOOD = b'{"tenant_id": "acme", "ticket_id": "12345"}'


@dataclass(frozen=True)
class Odd:
    """A request and its expected result."""

    name: str
    status: int
    reason: str
    raw: bytes


def _signed(body: bytes, sign: Sign, *headers: str) -> bytes:
    return request(body, *(f"{name}: {value}" for name, value in sign(body).items()), *headers)


def _ticket(value: object) -> bytes:
    return json.dumps({"tenant_id": "acme", "ticket_id": value}).encode()


def no_json() -> list[Odd]:
    """Bodies that are not one JSON object with one tenant id.

    `tests/webhooks` has many more.
    """
    bodies = {
        "nothing": b"",
        "half an object": b'{"tenant_id": "acme", "ticket_id": ',
        "two tenants": b'{"tenant_id": "acme", "tenant_id": "globex", "ticket_id": "12345"}',
        "not UTF-8": b'{"tenant_id": "acme", "ticket_id": "12345", "subject": "\xff\xfe"}',
        "deep nesting": b'{"tenant_id": "acme", "x": ' + b"[" * 30_000 + b"]" * 30_000 + b"}",
        "quotes that are never closed": b'"' + b'\\"' * 32_000,
        "bytes": bytes(range(256)),
    }
    return [Odd(name, 400, "malformed payload", request(body)) for name, body in bodies.items()]


def not_proved(sign: Sign) -> list[Odd]:
    """Bodies without a valid signature.

    `initech` is a tenant with a desk and without a secret.
    """

    def of(tenant: str) -> bytes:
        return json.dumps({"tenant_id": tenant, "ticket_id": "12345"}).encode()

    wrong = {"X-ServiceDesk-Signature": "sha256=" + "0" * 64}
    old = sign(GOOD) | {"x-servicedesk-timestamp": "1"}
    forged = [f"{name}: {value}" for name, value in wrong.items()]
    return [
        Odd("no signature", 403, "signature missing", request(GOOD)),
        Odd("a wrong signature", 403, "signature mismatch", request(GOOD, *forged)),
        Odd("another body's", 403, "signature mismatch", request(GOOD + b" ", *_lines(sign(GOOD)))),
        Odd("a changed timestamp", 403, "signature mismatch", request(GOOD, *_lines(old))),
        Odd("no hexadecimal digits", 403, "signature mismatch", request(GOOD, "X-Hub-Signature-256: sha256=\xe9\xff")),
        Odd("a version that nobody knows", 403, "signature mismatch", request(GOOD, "webhook-signature: v9,AAAA")),
        Odd("an unknown tenant", 403, "unknown tenant", _signed(of("umbrella"), sign)),
        Odd("a tenant of another kind", 403, "unknown tenant", _signed(of("ACME\n\x1b[31m\u202e"), sign)),
        Odd("a tenant without a secret", 403, "unknown tenant", _signed(of("initech"), sign)),
        Odd("a tenant that is closed", 403, "tenant closed", _untimed(of("shut"), SETTINGS["WEBHOOK_SECRET_SHUT"])),
        Odd("a token that nobody has", 403, "token mismatch", request(GOOD, f"X-ServiceDesk-Token: {'x' * 40}")),
        Odd("no token", 403, "token missing", request(GOOD, line="POST /webhook/acme HTTP/1.1")),
        Odd("no timestamp", 403, "timestamp missing", _untimed(of("strict"), SETTINGS["WEBHOOK_SECRET_STRICT"])),
    ]


def _untimed(body: bytes, secret: str) -> bytes:
    return request(body, *_lines(github(secret, body)))


def _lines(headers: dict[str, str]) -> list[str]:
    return [f"{name}: {value}" for name, value in headers.items()]


def unusable(sign: Sign) -> list[Odd]:
    """Signed bodies without a ticket id of 1 to 20 digits.

    `tests/webhooks` has many more.
    """
    values: dict[str, object] = {
        "a newline": "123\n",
        "a terminal sequence": "\x1b[2J123",
        "21 digits": "1" * 21,
        "infinity": float("inf"),
        "a half of a character": "\ud800",
    }
    bodies = {f"ticket id: {name}": _ticket(value) for name, value in values.items()}
    bodies["ticket id: 1e400"] = b'{"tenant_id": "acme", "ticket_id": 1e400}'
    bodies["no ticket id"] = b'{"tenant_id": "acme"}'
    bodies["an event with a newline"] = b'{"tenant_id": "acme", "ticket_id": "1", "event": "x\\nWebhook received"}'
    return [Odd(name, 422, "malformed payload", _signed(body, sign)) for name, body in bodies.items()]


def elsewhere(sign: Sign) -> list[Odd]:
    """Mistyped addresses and other methods, which support must see in the log."""
    return [
        Odd("another address", 404, "unknown address", request(GOOD, line="POST /webhooks HTTP/1.1")),
        Odd("a slash too many", 404, "unknown address", request(GOOD, line="POST /webhook/ HTTP/1.1")),
        Odd("a signature at a tenant's", 400, "signed webhook at a tenant's address", _at_tenants(sign)),
        Odd("another method at a tenant's", 405, "wrong method", request(GOOD, line="PUT /webhook/acme HTTP/1.1")),
        Odd("another method", 405, "wrong method", request(GOOD, line="PUT /webhook HTTP/1.1")),
    ]


def _at_tenants(sign: Sign) -> bytes:
    return request(GOOD, *_lines(sign(GOOD)), line="POST /webhook/acme HTTP/1.1")


def too_large(sign: Sign) -> list[Odd]:
    """Bodies that are too large, or compressed and thus of unknown size."""
    filler = b'{"tenant_id": "acme", "ticket_id": "12345", "x": "' + b"x" * 65_536 + b'"}'
    coded = {coding: _signed(gzip.compress(GOOD), sign, f"Content-Encoding: {coding}") for coding in ("gzip", "br")}
    return [
        Odd("a body of over 64 KiB", 413, "body too large", _signed(filler, sign)),
        *(
            Odd(f"declared as {kind}", 415, "unsupported content type", _signed(GOOD, sign, f"Content-Type: {kind}"))
            for kind in ("text/html", "application/xml; charset=utf-8", "multipart/form-data; boundary=x", "json")
        ),
        *(Odd(f"compressed with {coding}", 415, "compressed body", raw) for coding, raw in coded.items()),
        Odd("compressed twice", 415, "compressed body", request(GOOD, "Content-Encoding: identity, gzip")),
        Odd("one long header", 431, "headers too large", request(GOOD, "X-Odd: " + "x" * 40_000)),
        Odd("many headers", 431, "headers too large", request(GOOD, *(f"X-{number}: x" for number in range(6_000)))),
        Odd("a long address", 431, "headers too large", request(line=f"POST /{'x' * 40_000} HTTP/1.1")),
    ]


def no_http() -> list[Odd]:
    """Malformed HTTP, and bodies with two conflicting lengths."""
    chunked = ("Transfer-Encoding: chunked", "", "")
    post = "POST /webhook HTTP/1.1\r\nHost: api\r\n"
    raw = {
        "bytes": bytes(range(128, 256)) * 4,
        "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 64,
        "another protocol": b"SSH-2.0-OpenSSH_9.9\r\n",
        "no version": b"POST /webhook HTTP/x\r\nHost: api\r\n\r\n",
        "HTTP/2 at once": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "a header without a name": request(GOOD, ": x"),
        "a control character in a header": request(GOOD, "X-Odd: a\x00b"),
        "a length that is none": f"{post}Content-Length: ten\r\n\r\n".encode(),
        "a negative length": f"{post}Content-Length: -1\r\n\r\n".encode(),
        "a length beyond numbers": f"{post}Content-Length: {'9' * 40}\r\n\r\n".encode(),
        "two lengths": request(GOOD, "Content-Length: 2"),
        "a length and chunks": request(GOOD, "Transfer-Encoding: chunked"),
        "an address beyond ASCII": request(GOOD, line="POST /w\xe9bhook HTTP/1.1"),
    }
    broken = post + "\r\n".join(chunked) + "zz\r\n"
    return [
        *(Odd(f"no HTTP: {name}", 400, "malformed request", sent) for name, sent in raw.items()),
        Odd("no HTTP: a chunk without a size", 400, "body incomplete", broken.encode()),
    ]


def all_odd(sign: Sign) -> list[Odd]:
    """Return each kind that is refused at once."""
    return [*no_json(), *not_proved(sign), *unusable(sign), *elsewhere(sign), *too_large(sign), *no_http()]
