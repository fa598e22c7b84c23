"""Webhook signatures: an HMAC-SHA256 over `<timestamp>.<body>`, in own headers.

`api.signatures` has the other signatures that the API accepts.
"""

import hmac

SIGNATURE_HEADER = "X-ServiceDesk-Signature"
TIMESTAMP_HEADER = "X-ServiceDesk-Timestamp"
DELIVERY_HEADER = "X-ServiceDesk-Delivery"
"""The same at each try at one webhook."""
TOKEN_HEADER = "X-ServiceDesk-Token"  # noqa: S105 -- its name
"""Of a desk that can't sign."""
WINDOW_SECONDS = 300
"""How far from now a signed timestamp may be, in either direction."""


def signed_headers(secret: str, body: bytes, now: float) -> dict[str, str]:
    """Return the headers of a JSON body at Unix time `now`, signed with the secret."""
    timestamp = str(int(now))
    digest = hmac.digest(secret.encode(), timestamp.encode() + b"." + body, "sha256").hex()
    return {
        "Content-Type": "application/json",
        SIGNATURE_HEADER: f"sha256={digest}",
        TIMESTAMP_HEADER: timestamp,
    }
