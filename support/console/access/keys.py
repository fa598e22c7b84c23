"""What the console signs, and the marks that it makes of secrets: with `CONSOLE_KEY`, or the key before it."""

import hashlib
import hmac
import time
from collections.abc import Callable, Sequence
from typing import Any

from itsdangerous import BadData, TimestampSigner, URLSafeTimedSerializer

_LONGEST = 4096
CLOCKS_DIFFER_SECONDS = 60
"""So far ahead may the clock of another console be that has signed a text, or ours before it was set."""


class NotOurs(Exception):
    """A text that no key of ours has signed, or that is too old."""


class _ClockedSigner(TimestampSigner):
    """Takes the time from a clock that is handed in."""

    def __init__(self, *args: Any, now: Callable[[], float], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._now = now

    def get_timestamp(self) -> int:
        """Return the time, in whole seconds."""
        return int(self._now())


class ConsoleKeys:
    """The keys, the one that signs first. `now` is wall-clock time."""

    def __init__(self, keys: Sequence[str], *, now: Callable[[], float] = time.time) -> None:
        self._keys = [key.encode() for key in keys]
        self.now = now

    def sign(self, purpose: str, content: object) -> str:
        """Return a text that says `content` (as JSON can), and that only we can make for this purpose."""
        signed: str = self._serializer(purpose).dumps(content)
        return signed

    def read(self, purpose: str, text: str, seconds: int) -> tuple[Any, int]:
        """Return what such a text says, and when it was signed. Raises NotOurs, also after so many seconds."""
        if len(text) > _LONGEST:
            raise NotOurs
        try:
            content, signed_at = self._serializer(purpose).loads(text, return_timestamp=True)
        except BadData:
            raise NotOurs from None
        at = int(signed_at.timestamp())
        # Not by the serializer, which takes nothing that is a second ahead.
        if not -CLOCKS_DIFFER_SECONDS <= int(self.now()) - at <= seconds:
            raise NotOurs
        return content, at

    def mark(self, purpose: str, secret: str) -> str:
        """Return what can be told apart from other secrets' marks, and tells nothing of the secret."""
        return _mark(self._keys[0], purpose, secret)

    def is_mark(self, mark: str, purpose: str, secret: str) -> bool:
        """Return True if it is the secret's, made with any of the keys; in a time that does not tell which."""
        marks = [_mark(key, purpose, secret) for key in self._keys]
        return sum(hmac.compare_digest(mark.encode(), each.encode()) for each in marks) > 0

    def _serializer(self, purpose: str) -> URLSafeTimedSerializer:
        # The last of a list signs.
        return URLSafeTimedSerializer(
            self._keys[::-1],
            salt=f"ai-agents console {purpose}".encode(),
            signer=_ClockedSigner,
            signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256, "now": self.now},
        )


def _mark(key: bytes, purpose: str, secret: str) -> str:
    return hmac.digest(key, f"ai-agents console {purpose}\0{secret}".encode(), "sha256").hex()[:32]
