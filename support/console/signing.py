"""Signed texts and keyed hashes, with `CONSOLE_KEY` or the previous key."""

import hashlib
import hmac
import time
from collections.abc import Callable, Sequence
from typing import Any

from itsdangerous import BadData, TimestampSigner, URLSafeTimedSerializer

_LONGEST = 4096
CLOCK_SKEW_SECONDS = 60
"""The clock of another console may be ahead so far, or ours before it was set."""


class InvalidSignature(Exception):
    """A text that no current key has signed, or that is expired."""


class _ClockedSigner(TimestampSigner):
    """A signer with an injected clock."""

    def __init__(self, *args: Any, now: Callable[[], float], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._now = now

    def get_timestamp(self) -> int:
        return int(self._now())


class ConsoleKeys:
    """The keys; the first one signs. `now` is wall-clock time."""

    def __init__(self, keys: Sequence[str], *, now: Callable[[], float] = time.time) -> None:
        self._keys = [key.encode() for key in keys]
        self.now = now

    def sign(self, purpose: str, content: object) -> str:
        """Return the JSON-compatible `content` as a text signed for this purpose."""
        signed: str = self._serializer(purpose).dumps(content)
        return signed

    def read(self, purpose: str, text: str, seconds: int) -> tuple[Any, int]:
        """Return a signed text's content and time. Raises InvalidSignature.

        Texts older than `seconds` are invalid.
        """
        if len(text) > _LONGEST:
            raise InvalidSignature
        try:
            content, signed_at = self._serializer(purpose).loads(text, return_timestamp=True)
        except BadData:
            raise InvalidSignature from None
        at = int(signed_at.timestamp())
        # The serializer's own max_age refuses a text dated one second ahead.
        if not -CLOCK_SKEW_SECONDS <= int(self.now()) - at <= seconds:
            raise InvalidSignature
        return content, at

    def mark(self, purpose: str, secret: str) -> str:
        """Return a keyed hash that identifies the secret without revealing it."""
        return _mark(self._keys[0], purpose, secret)

    def is_mark(self, given: str, purpose: str, secret: str) -> bool:
        """Return True for the hash of this secret with any of the keys."""
        marks = [_mark(key, purpose, secret).encode() for key in self._keys]
        return sum(hmac.compare_digest(given.encode("utf-8", "replace"), mark) for mark in marks) > 0

    def _serializer(self, purpose: str) -> URLSafeTimedSerializer:
        # itsdangerous signs with the last key.
        return URLSafeTimedSerializer(
            self._keys[::-1],
            salt=f"ai-agents console {purpose}".encode(),
            signer=_ClockedSigner,
            signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256, "now": self.now},
        )


def _mark(key: bytes, purpose: str, secret: str) -> str:
    return hmac.digest(key, f"ai-agents console {purpose}\0{secret}".encode(), "sha256").hex()[:32]
