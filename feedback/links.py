"""Signed links of notes: tenant, job and expiry day."""

import binascii
import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Self
from uuid import UUID

from config.settings import FeedbackPageSettings, FeedbackSettings

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
    """An invalid token: guessed, changed, cut, or signed with a removed key."""


@dataclass(frozen=True, slots=True)
class JobLink:
    """The content of a valid token."""

    tenant_id: str
    job_id: UUID
    expired: bool


def _today() -> date:
    return datetime.now(UTC).date()


@dataclass(frozen=True, slots=True)
class FeedbackLinks:
    """Links below `url`: the first of `keys` signs, all of them verify."""

    url: str
    keys: tuple[bytes, ...] = field(repr=False)
    today: Callable[[], date] = _today

    @classmethod
    def of(cls, settings: FeedbackSettings) -> Self | None:
        """Return the links of these settings; None if feedback is disabled."""
        if settings.feedback_url is None or settings.feedback_key is None:
            return None
        previous = settings.feedback_previous_key if isinstance(settings, FeedbackPageSettings) else None
        return cls(settings.feedback_url, tuple(key.encode() for key in (settings.feedback_key, previous) if key))

    def link(self, tenant_id: str, job_id: UUID) -> str:
        """Return the link for a job's note, valid for 90 days."""
        day = (self.today() + timedelta(days=LASTS_DAYS) - _EPOCH).days
        said = _VERSION + day.to_bytes(_DAY_BYTES, "big") + job_id.bytes + tenant_id.encode("ascii")
        token = urlsafe_b64encode(said + _signature(self.keys[0], said)).rstrip(b"=")
        return f"{self.url}{PATH}{token.decode('ascii')}"

    def read(self, token: str) -> JobLink:
        """Return a token's content. Raises NotOurLink."""
        whole = _bytes_of(token)
        said, signature = whole[:-_SIGNATURE_BYTES], whole[-_SIGNATURE_BYTES:]
        # All keys are compared, so that the time reveals nothing.
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
    """Return the token's bytes. Raises NotOurLink if it is malformed."""
    if len(token) > _LONGEST or not token.isascii():
        raise NotOurLink
    try:
        whole = urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except (binascii.Error, ValueError):
        raise NotOurLink from None
    # The decoder ignores unknown characters: only the canonical form of a token is valid.
    if urlsafe_b64encode(whole).rstrip(b"=").decode("ascii") != token:
        raise NotOurLink
    return whole
