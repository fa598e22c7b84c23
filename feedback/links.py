"""The links of notes: which job of which tenant one is for, until which day, signed so that nobody can make one up."""

import binascii
import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Self
from uuid import UUID

from config.feedback_settings import FeedbackPageSettings, FeedbackSettings

LASTS_DAYS = 90
PATH = "/f/"
_VERSION = b"\x01"
_PURPOSE = b"ai-agents feedback link"
_DAY_BYTES, _JOB_BYTES = 2, 16
_HEAD_BYTES = len(_VERSION) + _DAY_BYTES + _JOB_BYTES
_SIGNATURE_BYTES = hashlib.sha256().digest_size
_LONGEST_TENANT = 63
_LONGEST = -(-(_HEAD_BYTES + _LONGEST_TENANT + _SIGNATURE_BYTES) * 4 // 3)
_EPOCH = date(1970, 1, 1)


class NotOurLink(Exception):
    """Nobody with the key made this token: it was guessed, changed or cut, or its key is gone."""


@dataclass(frozen=True, slots=True)
class JobLink:
    """What a token of ours says."""

    tenant_id: str
    job_id: UUID
    expired: bool


def _today() -> date:
    return datetime.now(UTC).date()


@dataclass(frozen=True, slots=True)
class FeedbackLinks:
    """Makes links below `url` and reads their tokens. `keys`: the one that signs, then others that are read too."""

    url: str
    keys: tuple[bytes, ...] = field(repr=False)
    today: Callable[[], date] = _today

    @classmethod
    def of(cls, settings: FeedbackSettings) -> Self | None:
        """Return what these settings ask for: None where feedback is off."""
        if settings.feedback_url is None or settings.feedback_key is None:
            return None
        previous = settings.feedback_previous_key if isinstance(settings, FeedbackPageSettings) else None
        return cls(settings.feedback_url, tuple(key.encode() for key in (settings.feedback_key, previous) if key))

    def link(self, tenant_id: str, job_id: UUID) -> str:
        """Return the link for a job's note; it works for 90 days."""
        day = (self.today() + timedelta(days=LASTS_DAYS) - _EPOCH).days
        said = _VERSION + day.to_bytes(_DAY_BYTES, "big") + job_id.bytes + tenant_id.encode("ascii")
        token = urlsafe_b64encode(said + _signature(self.keys[0], said)).rstrip(b"=")
        return f"{self.url}{PATH}{token.decode('ascii')}"

    def read(self, token: str) -> JobLink:
        """Return what a token says. Raises NotOurLink."""
        whole = _bytes_of(token)
        said, signature = whole[:-_SIGNATURE_BYTES], whole[-_SIGNATURE_BYTES:]
        # With each key, however the first compares: the time says nothing of either.
        matches = [hmac.compare_digest(_signature(key, said), signature) for key in self.keys]
        if True not in matches:
            raise NotOurLink
        if len(said) <= _HEAD_BYTES or not said.startswith(_VERSION):
            raise NotOurLink
        last = _EPOCH + timedelta(days=int.from_bytes(said[1 : 1 + _DAY_BYTES], "big"))
        job_id = UUID(bytes=said[1 + _DAY_BYTES : _HEAD_BYTES])
        return JobLink(said[_HEAD_BYTES:].decode("ascii"), job_id, expired=self.today() > last)


def _signature(key: bytes, said: bytes) -> bytes:
    return hmac.digest(key, _PURPOSE + said, "sha256")


def _bytes_of(token: str) -> bytes:
    """Return what a token is made of. Raises NotOurLink for what none can be."""
    if len(token) > _LONGEST or not token.isascii():
        raise NotOurLink
    try:
        whole = urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except (binascii.Error, ValueError):
        raise NotOurLink from None
    # The decoder passes over what it does not know: a token has one way to be written.
    if urlsafe_b64encode(whole).rstrip(b"=").decode("ascii") != token:
        raise NotOurLink
    return whole
