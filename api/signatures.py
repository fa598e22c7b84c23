"""HMAC-SHA256 signatures over the raw body, in one of three header schemes.

| scheme              | header                                                          | signed                 |
|---------------------|-----------------------------------------------------------------|------------------------|
| this system's       | `X-ServiceDesk-Signature: sha256=<hex>` (or the hex alone)      | `<timestamp>.<body>`   |
|                     | with `X-ServiceDesk-Timestamp`; without it the body is signed   | or the body            |
| GitHub's            | `X-Hub-Signature-256: sha256=<hex>`                             | the body               |
| Standard Webhooks   | `webhook-signature: v1,<base64> ...` with `webhook-id` and      | `<id>.<timestamp>.`    |
|                     | `webhook-timestamp`; the key is `whsec_<base64>`                | `<body>`               |

A signed timestamp must be within 300 s of now; a tenant may require one.
"""

import base64
import contextlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from jobs.signing import SIGNATURE_HEADER, TIMESTAMP_HEADER, WINDOW_SECONDS

_SIGNATURE_HEADER, _TIMESTAMP_HEADER = SIGNATURE_HEADER.lower(), TIMESTAMP_HEADER.lower()
_STANDARD_HEADER, _GITHUBS_HEADER = "webhook-signature", "x-hub-signature-256"
_SCHEMES = (_SIGNATURE_HEADER, _STANDARD_HEADER, _GITHUBS_HEADER)
_MOST_SIGNATURES = 8
_A_DAY_SECONDS = 86_400


class SignatureError(Exception):
    """A signature that does not verify.

    The text is the reason in the log, `cause` adds detail if known, `claim` is the claim that did not match.
    """

    def __init__(self, reason: str, *, cause: str = "", claim: "SignatureClaim | None" = None) -> None:
        super().__init__(reason)
        self.cause = cause
        self.claim = claim


@dataclass(frozen=True, slots=True)
class SignatureClaim:
    """The signature headers of a request."""

    standard: bool
    """True for Standard Webhooks, whose signatures are in base64 and whose keys may be."""
    written: str
    """The header as received."""
    given: Sequence[bytes]
    timestamp: str | None
    prefix: bytes
    """The signed bytes before the body."""

    @property
    def key_of(self) -> Callable[[str], bytes]:
        return _standard_key if self.standard else str.encode


def has_claim(headers: Mapping[str, str]) -> bool:
    return any(name in headers for name in _SCHEMES)


def claim_of(headers: Mapping[str, str]) -> SignatureClaim | None:
    """Return the claim of the first scheme with a header, else None.

    Header names are in lower case.
    """
    if (written := headers.get(_STANDARD_HEADER)) is not None:
        timestamp = headers.get("webhook-timestamp", "")
        prefix = f"{headers.get('webhook-id', '')}.{timestamp}.".encode()
        return SignatureClaim(True, written, _standard_signatures(written), timestamp, prefix)
    if (written := headers.get(_SIGNATURE_HEADER)) is not None:
        sent = headers.get(_TIMESTAMP_HEADER)
        prefix = b"" if sent is None else sent.encode() + b"."
        return SignatureClaim(False, written, _hex_signature(written), sent, prefix)
    if (written := headers.get(_GITHUBS_HEADER)) is not None:
        return SignatureClaim(False, written, _hex_signature(written), None, b"")
    return None


def verify(
    secrets: Sequence[str], headers: Mapping[str, str], body: bytes, now: float, *, require_timestamp: bool = False
) -> tuple[bytes, int]:
    """Return the signed bytes and the index of the matching secret.

    `headers` are in lower case; `now` is Unix time. `require_timestamp` refuses signatures over the body alone. All
    secrets are tried, so that the time reveals nothing. Raises SignatureError.
    """
    claim = claim_of(headers)
    if claim is None:
        raise SignatureError("signature missing")
    signed = claim.prefix + body
    matching = [number for number, secret in enumerate(secrets) if _matches(claim, secret, signed)]
    if not matching:
        raise SignatureError("signature mismatch", claim=claim)
    if claim.timestamp is None and require_timestamp:
        raise SignatureError("timestamp missing")
    if claim.timestamp is not None and not _recent(claim.timestamp, now):
        raise SignatureError("stale timestamp", cause=_clock_cause(claim.timestamp, now))
    return signed, matching[0]


def _matches(claim: SignatureClaim, secret: str, signed: bytes) -> bool:
    """Compare with all given signatures, so that the time reveals nothing."""
    expected, found = hmac.digest(claim.key_of(secret), signed, sha256), False
    for given in claim.given:
        found |= hmac.compare_digest(expected, given)
    return found


def _hex_signature(header: str) -> list[bytes]:
    try:
        return [bytes.fromhex(header.strip().removeprefix("sha256="))]
    except ValueError:
        return [b""]


def _standard_signatures(header: str) -> list[bytes]:
    found: list[bytes] = []
    for part in header.split()[:_MOST_SIGNATURES]:
        version, _, encoded = part.partition(",")
        if version == "v1":
            with contextlib.suppress(ValueError):  # binascii.Error, or a character beyond ASCII
                found.append(base64.b64decode(encoded, validate=True))
    return found or [b""]


def _standard_key(secret: str) -> bytes:
    if secret.startswith("whsec_"):
        with contextlib.suppress(ValueError):
            key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
            if key:  # an empty key proves nothing
                return key
    return secret.encode()


def _recent(timestamp: str, now: float) -> bool:
    return timestamp.isascii() and timestamp.isdecimal() and abs(now - int(timestamp[:15])) <= WINDOW_SECONDS


def _clock_cause(timestamp: str, now: float) -> str:
    if not (timestamp.isascii() and timestamp.isdecimal()):
        return "timestamp is no number of seconds"
    seconds = int(timestamp[:15])
    if abs(now - seconds / 1000) <= _A_DAY_SECONDS:
        return "timestamp in milliseconds"
    apart = round(seconds - now)
    return f"timestamp {abs(apart)} s {'ahead of' if apart > 0 else 'behind'} our clock"
