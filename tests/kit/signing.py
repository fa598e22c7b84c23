"""Webhook signatures made by hand.

The product must not verify its own signing. Header names are in lower case, as receivers look them up.
"""

import base64
import hmac
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

_VECTORS = Path(__file__).resolve().parents[1] / "jobs" / "signatures.json"


class GoldenSignature(NamedTuple):
    """An entry of `tests/jobs/signatures.json`; OpenSSL computed its signature."""

    name: str
    secret: str
    timestamp: str
    body: str
    signature: str


GOLDEN_SIGNATURES = [GoldenSignature(**each) for each in json.loads(_VECTORS.read_text(encoding="utf-8"))]


def mac(secret: str | bytes, signed: bytes) -> bytes:
    return hmac.digest(secret.encode() if isinstance(secret, str) else secret, signed, "sha256")


def timed(secret: str | bytes, body: bytes, timestamp: object = None) -> dict[str, str]:
    """Sign by this system's scheme; the default time is now."""
    sent = str(int(time.time()) if timestamp is None else timestamp)
    signature = mac(secret, sent.encode() + b"." + body).hex()
    return {"x-servicedesk-signature": f"sha256={signature}", "x-servicedesk-timestamp": sent}


def untimed(secret: str | bytes, body: bytes, name: str = "x-servicedesk-signature") -> dict[str, str]:
    """Sign without a timestamp; with another `name`, GitHub's scheme."""
    return {name: f"sha256={mac(secret, body).hex()}"}


def github(secret: str | bytes, body: bytes) -> dict[str, str]:
    return untimed(secret, body, "x-hub-signature-256")


def standard(secret: str | bytes, body: bytes, timestamp: object = None) -> dict[str, str]:
    """Sign by Standard Webhooks, with the delivery's id `msg_1`."""
    sent = str(int(time.time()) if timestamp is None else timestamp)
    signature = base64.b64encode(mac(secret, f"msg_1.{sent}.".encode() + body)).decode()
    return {"webhook-id": "msg_1", "webhook-timestamp": sent, "webhook-signature": f"v1,{signature}"}


def is_timed(secret: str, headers: Mapping[str, str], body: bytes) -> bool:
    """Return True if a request is signed by this system's scheme, within seconds."""
    sent = headers.get("x-servicedesk-timestamp", "")
    recent = sent.isdecimal() and abs(int(sent) - time.time()) < 10
    return recent and headers.get("x-servicedesk-signature") == timed(secret, body, sent)["x-servicedesk-signature"]
