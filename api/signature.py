"""Whether a webhook is the tenant's: an HMAC-SHA256 over the raw bytes, in one of three header schemes.

| scheme              | header                                                          | signed                 |
|---------------------|-----------------------------------------------------------------|------------------------|
| this system's       | `X-ServiceDesk-Signature: sha256=<hex>` (or the hex alone)      | `<timestamp>.<body>`   |
|                     | with `X-ServiceDesk-Timestamp`; without it the body is signed   | or the body            |
| GitHub's            | `X-Hub-Signature-256: sha256=<hex>`                             | the body               |
| Standard Webhooks   | `webhook-signature: v1,<base64> ...` with `webhook-id` and      | `<id>.<timestamp>.`    |
|                     | `webhook-timestamp`; the key is `whsec_<base64>`                | `<body>`               |

A signed timestamp must be within 300 s of now; a tenant may require that there is one.
"""

import base64
import contextlib
import hmac
from collections.abc import Mapping, Sequence
from hashlib import sha256

WINDOW_SECONDS = 300
_MOST_SIGNATURES = 8


class SignatureRefused(Exception):
    """Not proved to be the tenant's; the text is the reason that the log gives."""


def verify(
    secrets: Sequence[str], headers: Mapping[str, str], body: bytes, now: float, *, require_timestamp: bool = False
) -> bytes:
    """The bytes that one of the secrets signed. `headers` are looked up in lower case; `now` is Unix time.

    `require_timestamp`: a signature over the body alone is refused, however good. Raises SignatureRefused. Each secret
    is tried whatever the others gave, so that the time taken tells nothing.
    """
    timestamp: str | None
    if "webhook-signature" in headers:
        timestamp = headers.get("webhook-timestamp", "")
        signed = f"{headers.get('webhook-id', '')}.{timestamp}.".encode() + body
        given = _standard_signatures(headers["webhook-signature"])
        keys = [_standard_key(secret) for secret in secrets]
    elif "x-servicedesk-signature" in headers:
        timestamp = headers.get("x-servicedesk-timestamp")
        signed = body if timestamp is None else timestamp.encode() + b"." + body
        given = _hex_signatures(headers["x-servicedesk-signature"])
        keys = [secret.encode() for secret in secrets]
    elif "x-hub-signature-256" in headers:
        timestamp, signed = None, body
        given = _hex_signatures(headers["x-hub-signature-256"])
        keys = [secret.encode() for secret in secrets]
    else:
        raise SignatureRefused("signature missing")
    if not _matches(keys, signed, given):
        raise SignatureRefused("signature mismatch")
    if timestamp is None and require_timestamp:
        raise SignatureRefused("timestamp missing")
    if timestamp is not None and not _recent(timestamp, now):
        raise SignatureRefused("stale timestamp")
    return signed


def _matches(keys: Sequence[bytes], signed: bytes, given: Sequence[bytes]) -> bool:
    matched = False
    for key in keys:
        expected = hmac.digest(key, signed, sha256)
        for signature in given:
            matched |= hmac.compare_digest(expected, signature)
    return matched


def _hex_signatures(header: str) -> list[bytes]:
    text = header.strip().removeprefix("sha256=")
    try:
        return [bytes.fromhex(text)]
    except ValueError:
        return [b""]


def _standard_signatures(header: str) -> list[bytes]:
    found: list[bytes] = []
    for part in header.split()[:_MOST_SIGNATURES]:
        version, _, encoded = part.partition(",")
        if version == "v1":
            try:
                found.append(base64.b64decode(encoded, validate=True))
            except ValueError:  # binascii.Error is one, and so is a character beyond ASCII
                continue
    return found or [b""]


def _standard_key(secret: str) -> bytes:
    if secret.startswith("whsec_"):
        with contextlib.suppress(ValueError):
            key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
            if key:  # anyone can sign with an empty one
                return key
    return secret.encode()


def _recent(timestamp: str, now: float) -> bool:
    return timestamp.isascii() and timestamp.isdecimal() and abs(now - int(timestamp[:15])) <= WINDOW_SECONDS
