"""Words of HTTP statuses, and `Retry-After`."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

_OPENAI_WORDS = {400: "Bad Request", 429: "Rate Limit", 529: "Overloaded"}
_LONGEST_WAIT_SECONDS = 999_999_999.0
_IN_RATE_LIMIT = re.compile(r"retry[_-]after\W{1,9}([0-9]{1,9})", re.IGNORECASE)


def known_status(status: int) -> int:
    """Return the status, or its class for a nonstandard one, to bound metric labels."""
    if status in _OPENAI_WORDS or status in set(HTTPStatus):
        return status
    return status // 100 * 100 if 100 <= status < 600 else 500


def status_words(status: int) -> str:
    """Return a status with fixed words of our own, such as `429 Rate Limit`."""
    known = known_status(status)
    return f"{known} {_OPENAI_WORDS.get(known) or HTTPStatus(known).phrase}"


def retry_after_of(headers: Mapping[str, str]) -> str | None:
    """Return `Retry-After`, else Zoho's `retry_after` in `X-Rate-Limit`."""
    plain, within = headers.get("retry-after"), _IN_RATE_LIMIT.search(headers.get("x-rate-limit", "")[:1000])
    return plain if within is None or retry_after_seconds(plain) else within[1]


def retry_after_seconds(header: str | None) -> float | None:
    """Return `Retry-After`, seconds or an HTTP date, as seconds; None if malformed.

    An HTTP date is in GMT: another zone is unreliable.
    """
    value = (header or "").strip()
    if value.isdecimal():
        return float(value[:9])
    if not value.endswith(" GMT"):
        return None
    try:
        moment = parsedate_to_datetime(value)
        seconds = (moment - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return None
    if moment.utcoffset():  # the parser takes the first of two zones
        return None
    return min(max(0.0, seconds), _LONGEST_WAIT_SECONDS)
