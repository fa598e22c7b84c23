"""Settings of the feedback link in each note and its page; off if unset."""

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from config.loading import LogSettings
from config.urls import HttpUrl

_SHORTEST_KEY = 32
# Characters allowed unescaped (RFC 3986), except those that end a link in text or HTML.
_AS_IN_A_LINK = re.compile(r"(?:[A-Za-z0-9._~:/\[\]!$&()*+,;=-]|%[0-9A-Fa-f]{2})+")


def _page_url(url: str) -> str:
    """Check that the address can be the start of a link. Raises ValueError."""
    parts = urlsplit(url)
    if parts.query or parts.fragment or "@" in parts.netloc or not _AS_IN_A_LINK.fullmatch(url):
        raise ValueError("must be http(s)://HOST[:PORT][/PATH]")
    return url


def _signing_key(key: str) -> str:
    """Strip the key and check its length against brute force. Raises ValueError."""
    if len(key.strip()) < _SHORTEST_KEY:
        raise ValueError(f"must be {_SHORTEST_KEY} characters at least")
    return key.strip()


PageUrl = Annotated[HttpUrl, AfterValidator(_page_url)]
SigningKey = Annotated[str, AfterValidator(_signing_key)]


class FeedbackSettings(LogSettings):
    """Settings of processes that create or read feedback links."""

    feedback_url: PageUrl | None = None
    """Where people reach the page that asks whether a note was useful: `https://feedback.example.com`. With it and
    `FEEDBACK_KEY` each note has a link to it; without them there is neither."""
    feedback_key: SigningKey | None = Field(None, repr=False, validate_default=True)
    """Signs the links, so that none can be made up or changed; the same for API and workers, 32 characters at least."""

    @field_validator("feedback_key")
    @classmethod
    def _goes_with_the_address(cls, key: str | None, info: ValidationInfo) -> str | None:
        # An invalid address is reported by its own field.
        if "feedback_url" in info.data and (info.data["feedback_url"] is None) != (key is None):
            raise ValueError("it needs FEEDBACK_URL" if key else "must be set where FEEDBACK_URL is")
        return key


class FeedbackPageSettings(FeedbackSettings):
    """Settings of the process that serves the feedback page."""

    feedback_previous_key: SigningKey | None = Field(None, repr=False)
    """The key before the last change: links that were signed with it go on working."""
    feedback_port: int = Field(8002, ge=1, le=65535)
    """Port of that page, on all addresses; nothing else is there. Listened on where `FEEDBACK_URL` is set."""

    @field_validator("feedback_previous_key")
    @classmethod
    def _goes_with_a_key(cls, key: str | None, info: ValidationInfo) -> str | None:
        if key is not None and info.data.get("feedback_key", "") is None:
            raise ValueError("it needs FEEDBACK_KEY")
        return key
