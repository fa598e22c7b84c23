"""Signed links of notes: tenant, job and expiry day."""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple, Self
from uuid import UUID

from itsdangerous import BadData, URLSafeSerializer

from config.settings import FeedbackPageSettings, FeedbackSettings

LASTS_DAYS = 90
PATH = "/f/"
_TOKEN = re.compile(r"[A-Za-z0-9_.-]+")


class JobLink(NamedTuple):
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
        if settings.feedback_url is None or settings.feedback_key is None:
            return None
        previous = settings.feedback_previous_key if isinstance(settings, FeedbackPageSettings) else None
        return cls(settings.feedback_url, tuple(key.encode() for key in (settings.feedback_key, previous) if key))

    def link(self, tenant_id: str, job_id: UUID) -> str:
        """Return the link for a job's note, valid for 90 days."""
        last = self.today() + timedelta(days=LASTS_DAYS)
        return f"{self.url}{PATH}{self._serializer().dumps([last.toordinal(), job_id.hex, tenant_id])}"

    def read(self, token: str) -> JobLink | None:
        """Return a token's content; None if it is guessed, changed, cut, or signed with a removed key."""
        # The decoder ignores other characters: a token has one form only.
        if not _TOKEN.fullmatch(token):
            return None
        try:
            last, job_id, tenant_id = self._serializer().loads(token)
        except BadData:
            return None
        return JobLink(tenant_id, UUID(job_id), expired=self.today().toordinal() > last)

    def _serializer(self) -> URLSafeSerializer:
        # itsdangerous signs with the last key. The 48 bytes of SHA-384 have one form in base64, those of SHA-256 four.
        options = {"key_derivation": "hmac", "digest_method": hashlib.sha384}
        return URLSafeSerializer(self.keys[::-1], salt=b"ai-agents feedback link", signer_kwargs=options)
